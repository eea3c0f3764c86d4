import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { configurationJsonSchema } from '../../../src/policy/json-schema.ts';
import { contractExample } from './load-text.ts';

describe('config/fileward.schema.json', () => {
  it('is what `npm run schema` makes now', async () => {
    const file = new URL('../../../config/fileward.schema.json', import.meta.url);
    assert.equal(await readFile(file, 'utf8'), configurationJsonSchema());
  });

  it("accepts the contract's example and refuses what the program refuses", () => {
    const validate = new Ajv2020().compile(JSON.parse(configurationJsonSchema()));
    assert.equal(validate(parse(contractExample)), true, JSON.stringify(validate.errors));
    for (const text of [
      'version: 2',
      'groups: []',
      'version: 1\ngruops: []',
      'version: 1\nrecords: { window: 10 }',
    ]) {
      assert.equal(validate(parse(text)), false, text);
    }
  });
});
