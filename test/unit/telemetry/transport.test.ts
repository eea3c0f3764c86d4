import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { retryDelayMs } from '../../../src/telemetry/retry-info.ts';
import { backoffMs } from '../../../src/telemetry/transport.ts';

describe('waiting between two attempts', () => {
  it('grows, is spread, and ends at half a minute', () => {
    assert.equal(
      backoffMs(0, () => 0.5),
      500,
    );
    assert.equal(
      backoffMs(0, () => 0),
      400,
    );
    assert.equal(Math.round(backoffMs(0, () => 1)), 600);
    assert.ok(backoffMs(3, () => 0.5) > backoffMs(2, () => 0.5));
    assert.equal(
      backoffMs(1000, () => 0.5),
      30_000,
    );
  });
});

describe('when a server says to come back', () => {
  it('is not known from nothing, text or garbage', () => {
    assert.equal(retryDelayMs(undefined), undefined);
    assert.equal(retryDelayMs('text'), undefined);
    assert.equal(retryDelayMs(Buffer.from('1a7fff', 'hex')), undefined);
    assert.equal(retryDelayMs(Buffer.alloc(0)), undefined);
  });
});
