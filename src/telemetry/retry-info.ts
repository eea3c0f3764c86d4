/** Reads google.rpc.RetryInfo out of a gRPC status: the one thing of it that is needed, so no generated code for it. */
import { embedded, varintOf } from './protobuf.ts';

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';

/** Undefined when the server didn't say when to come back. `details` is the value of `grpc-status-details-bin`. */
export function retryDelayMs(details: string | Buffer | undefined): number | undefined {
  if (details === undefined || typeof details === 'string') return undefined;
  try {
    // google.rpc.Status: details = 3; google.protobuf.Any: type_url = 1, value = 2.
    for (const any of embedded(details, 3)) {
      const [type] = embedded(any, 1);
      const [value] = embedded(any, 2);
      if (type === undefined || Buffer.from(type).toString('utf8') !== RETRY_INFO) continue;
      // RetryInfo: retry_delay = 1; Duration: seconds = 1, nanos = 2.
      const [delay] = value ? embedded(value, 1) : [];
      return varintOf(delay, 1) * 1000 + varintOf(delay, 2) / 1e6;
    }
  } catch {
    // Not a status: then it says nothing.
  }
  return undefined;
}
