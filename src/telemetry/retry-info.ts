/** Reads google.rpc.RetryInfo out of a gRPC status: the one thing of it that is needed, so no generated code for it. */
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';

type Field = readonly [number: number, value: Uint8Array | number];

/** Undefined when the server didn't say when to come back. `details` is the value of `grpc-status-details-bin`. */
export function retryDelayMs(details: string | Buffer | undefined): number | undefined {
  if (details === undefined || typeof details === 'string') return undefined;
  try {
    // google.rpc.Status: details = 3; google.protobuf.Any: type_url = 1, value = 2.
    for (const any of messages(details, 3)) {
      const [type] = messages(any, 1);
      const [value] = messages(any, 2);
      if (type === undefined || Buffer.from(type).toString('utf8') !== RETRY_INFO) continue;
      // RetryInfo: retry_delay = 1; Duration: seconds = 1, nanos = 2.
      const [delay] = value ? messages(value, 1) : [];
      const [seconds = 0] = numbers(delay, 1);
      const [nanos = 0] = numbers(delay, 2);
      return seconds * 1000 + nanos / 1e6;
    }
  } catch {
    // Not a status: then it says nothing.
  }
  return undefined;
}

function messages(bytes: Uint8Array, number: number): Uint8Array[] {
  return fields(bytes).flatMap(([each, value]) =>
    each === number && typeof value !== 'number' ? [value] : [],
  );
}

function numbers(bytes: Uint8Array | undefined, number: number): number[] {
  return fields(bytes ?? new Uint8Array()).flatMap(([each, value]) =>
    each === number && typeof value === 'number' ? [value] : [],
  );
}

/** @throws RangeError when the bytes are cut off. */
function fields(bytes: Uint8Array): Field[] {
  const found: Field[] = [];
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
    const tag = varint();
    const wire = tag & 7;
    const number = Math.floor(tag / 8);
    if (wire === 0) {
      found.push([number, varint()]);
      continue;
    }
    const length = wire === 2 ? varint() : wire === 1 ? 8 : 4;
    if (at + length > bytes.length) throw new RangeError('cut off');
    if (wire === 2) found.push([number, bytes.subarray(at, at + length)]);
    at += length;
  }
  return found;
}
