/** A process that emits and is killed: says the ids of its records when they are settled. */
import { rmdirSync } from 'node:fs';
import { createTelemetry } from '../../../src/telemetry/exporter.ts';
import { folder, hostResource, recordOf, telemetryConfiguration } from './support.ts';

// Nothing of it is left to do so when it is killed.
rmdirSync(folder);

const [state = '', endpoint = '', count = ''] = process.argv.slice(2);
const telemetry = createTelemetry({
  configuration: telemetryConfiguration({ endpoint }),
  env: {},
  resource: hostResource,
  version: '1.2.3',
  state,
  onLost: (loss) => process.send?.({ loss: loss.reason }),
});
const uids = Array.from({ length: Number(count) }, (_, i) => {
  const uid = `${process.pid}-${i}`;
  telemetry.emit(recordOf({ attributes: { 'log.record.uid': uid } }));
  return uid;
});
await telemetry.settled();
process.send?.({ settled: uids });
// Until it is killed.
setInterval(() => undefined, 1000);
