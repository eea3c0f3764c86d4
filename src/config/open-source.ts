/** Opens one configuration file, whatever it is written in, and remembers every file that was looked at. */
import { isCode, runCodeFile } from './code-file.ts';
import type { ProblemList } from './problem.ts';
import { type ReadResult, readText } from './read-file.ts';
import { parseSource, SourceFile } from './source-file.ts';

export class SourceReader {
  readonly problems: ProblemList;
  /** Everything that a change of would make a reload worth while. */
  readonly files = new Set<string>();
  /** By path, what is taken for the text of a file. */
  readonly #instead: ReadonlyMap<string, string>;

  constructor(problems: ProblemList, instead: ReadonlyMap<string, string> = new Map()) {
    this.problems = problems;
    this.#instead = instead;
  }

  async readText(file: string): Promise<ReadResult> {
    const text = this.#instead.get(file);
    return text === undefined ? await readText(file) : { ok: true, text };
  }

  /** Says what is wrong with a file that can't be read; the explorer would read it unguarded. */
  async isUsable(file: string): Promise<boolean> {
    this.files.add(file);
    const result = await readText(file);
    if (result.ok) return true;
    const place = { file, line: result.line, column: 1 };
    if (result.absent) {
      const message = `no such file; create one with 'fileward init --stdout > ${file}'`;
      this.problems.missing(place, message);
    } else {
      this.problems.error(place, result.message);
    }
    return false;
  }
}

/** Undefined when there is nothing to go on with; the problems say why. */
export async function openSource(
  file: string,
  reader: SourceReader,
): Promise<SourceFile | undefined> {
  reader.files.add(file);
  return isCode(file) ? openCode(file, reader) : openText(file, reader);
}

async function openText(file: string, reader: SourceReader) {
  const { problems } = reader;
  const result = await reader.readText(file);
  if (result.ok) return parseSource(file, result.text, problems);
  problems.error({ file, line: result.line, column: 1 }, result.message);
  return undefined;
}

async function openCode(file: string, { problems, files }: SourceReader) {
  const result = await runCodeFile(file);
  for (const path of result.files) files.add(path);
  const source = new SourceFile(file, result.ok ? result.value : undefined);
  if (!result.ok) {
    problems.error(source.start, result.message);
    return undefined;
  }
  if (result.value === undefined) {
    problems.error(source.start, 'has no default export; export the configuration as default');
    return undefined;
  }
  return source;
}
