/**
 * A failure that ends the program with a status of the contract: 1 the answer is no, 2 bad usage or configuration,
 * 3 the machine can't do it. The message is for the person at the terminal and says what to do.
 */
export class Failure extends Error {
  readonly status: 1 | 2 | 3;

  constructor(status: 1 | 2 | 3, message: string) {
    super(message);
    this.name = 'Failure';
    this.status = status;
  }
}

/** Text of an unknown thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of a system error (`ENOENT`), or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
