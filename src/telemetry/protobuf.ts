/**
 * The wire format of protocol buffers, as far as OTLP records and their answers need it. Written by hand because a record
 * is encoded for every event, on the thread that reads them. Tests decode it with the protocol's own definition.
 */

/** Longer ones are written faster by the runtime than one character at a time. */
const SHORT_TEXT = 24;
const TWO_TO_32 = 2 ** 32;

/** A buffer that grows; written from front to back. */
export class ProtobufWriter {
  #bytes: Buffer;
  #view: DataView;
  #at = 0;

  constructor(capacity = 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#at;
  }

  /** What was written, in memory of its own; the writer is empty then. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = Buffer.allocUnsafeSlow(this.#at);
    this.#bytes.copy(taken, 0, 0, this.#at);
    this.#at = 0;
    return taken;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** @param tag - field number and wire type; fields up to 15, so one byte */
  tag(tag: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = tag;
  }

  /** @param value - a safe integer from 0 on */
  varint(value: number): void {
    this.#reserve(10);
    this.#varint(value);
  }

  /** As two's complement in 64 bits. @param value - a safe integer */
  int64(value: number): void {
    if (value >= 0) {
      this.varint(value);
      return;
    }
    this.#reserve(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  fixed64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#at, value, true);
    this.#at += 8;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Length and UTF-8; half of a surrogate pair becomes U+FFFD. */
  text(value: string): void {
    if (value.length <= SHORT_TEXT && this.#ascii(value)) return;
    const room = sizeOfVarint(value.length);
    // A UTF-16 unit takes at most three bytes.
    this.#reserve(value.length * 3 + 5);
    this.#putLength(this.#at, room, this.#bytes.write(value, this.#at + room));
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  /**
   * Begins a message whose length isn't known yet.
   * @param room - bytes that its length will probably take; if not, the message is moved once
   * @returns what `close` needs
   */
  open(room: 1 | 2): number {
    this.#reserve(room);
    this.#at += room;
    return this.#at;
  }

  close(start: number, room: 1 | 2): void {
    const length = this.#at - start;
    this.#reserve(5);
    this.#putLength(start - room, room, length);
  }

  /** The content stands `room` bytes behind `at`, where its length belongs. */
  #putLength(at: number, room: number, length: number): void {
    const size = sizeOfVarint(length);
    if (size !== room) this.#bytes.copyWithin(at + size, at + room, at + room + length);
    this.#at = at;
    this.#varint(length);
    this.#at += length;
  }

  #ascii(value: string): boolean {
    const { length } = value;
    this.#reserve(length + 1);
    const start = this.#at + 1;
    for (let i = 0; i < length; i += 1) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      this.#bytes[start + i] = code;
    }
    this.#bytes[this.#at] = length;
    this.#at = start + length;
    return true;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= TWO_TO_32; rest = Math.floor(rest / 128)) {
      this.#bytes[this.#at++] = (rest % 128) | 0x80;
    }
    for (; rest >= 0x80; rest >>>= 7) this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#at++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + bytes));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

export function sizeOfVarint(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

/** A field of a message: where it begins with its tag, where its content begins, where both end. */
export interface Field {
  readonly number: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
  /** Of a varint; 0 for other wire types. */
  readonly value: number;
}

/** @throws RangeError when the bytes are cut off. */
export function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('cut off');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const start = at;
    const tag = varint();
    const wire = tag & 7;
    const value = wire === 0 ? varint() : 0;
    const length = wire === 0 ? 0 : wire === 2 ? varint() : wire === 1 ? 8 : 4;
    const content = at;
    at += length;
    if (at > bytes.length) throw new RangeError('cut off');
    yield { number: Math.floor(tag / 8), start, content, end: at, value };
  }
}

/** Contents of the embedded messages, texts or bytes of one number. @throws RangeError when the bytes are cut off. */
export function embedded(bytes: Uint8Array, number: number): Uint8Array[] {
  return Array.from(fieldsOf(bytes))
    .filter((field) => field.number === number)
    .map(({ content, end }) => bytes.subarray(content, end));
}

/** The last varint of a number, 0 without one, as the protocol has it. @throws RangeError when the bytes are cut off. */
export function varintOf(bytes: Uint8Array | undefined, number: number): number {
  let found = 0;
  for (const field of fieldsOf(bytes ?? new Uint8Array())) {
    if (field.number === number) found = field.value;
  }
  return found;
}
