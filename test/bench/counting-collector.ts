/** A collector that counts records and forgets them, in a process of its own: prints its port, then a count a line read. */
import { createInterface } from 'node:readline';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { fieldsOf } from '../../src/telemetry/protobuf.ts';

const asIs = (bytes: Buffer): Buffer => bytes;
let count = 0;

/** ExportLogsServiceRequest.resource_logs = 1, ResourceLogs.scope_logs = 2, ScopeLogs.log_records = 2. */
function recordsIn(request: Uint8Array): number {
  let records = 0;
  for (const resource of fieldsOf(request)) {
    for (const scope of fieldsOf(request.subarray(resource.content, resource.end))) {
      if (scope.number !== 2) continue;
      const scopeLogs = request.subarray(
        resource.content + scope.content,
        resource.content + scope.end,
      );
      for (const field of fieldsOf(scopeLogs)) if (field.number === 2) records += 1;
    }
  }
  return records;
}

const server = new Server({ 'grpc.max_receive_message_length': 16 * 1024 * 1024 });
server.addService(
  {
    Export: {
      path: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  },
  {
    Export: (call: { request: Buffer }, done: (error: null, response: Buffer) => void) => {
      count += recordsIn(call.request);
      done(null, Buffer.alloc(0));
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
createInterface({ input: process.stdin })
  .on('line', () => console.log(count))
  .on('close', () => process.exit());
