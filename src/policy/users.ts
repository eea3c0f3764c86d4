import { readFileSync } from 'node:fs';

/** Above every uid that a machine gives out: what names that are not on this machine stand for. */
const firstInvented = 0xf0000000;

/** Numbers of user names, from /etc/passwd; a name that is absent gets a number of its own. */
export class UserTable {
  readonly #ids = new Map<string, number>();
  #invented = 0;

  constructor(passwd = readPasswd()) {
    for (const line of passwd.split('\n')) {
      const [name, , id] = line.split(':');
      if (name && id && /^\d+$/.test(id) && !this.#ids.has(name)) this.#ids.set(name, Number(id));
    }
  }

  idOf(user: string): number {
    if (/^\d+$/.test(user)) return Number(user);
    let id = this.#ids.get(user);
    if (id === undefined) {
      id = firstInvented + this.#invented;
      this.#invented += 1;
      this.#ids.set(user, id);
    }
    return id;
  }
}

function readPasswd(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8');
  } catch {
    return '';
  }
}
