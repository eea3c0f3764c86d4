/** Sends log records to a Collector as OTLP/JSON, where a test needs records that no agent would make on demand. */
import { randomUUID } from 'node:crypto';

export interface SentRecord {
  readonly uid: string;
  readonly severityNumber: number;
  readonly eventName: string;
  readonly time?: Date;
  /** Bytes of padding. */
  readonly padding?: number;
  readonly attributes?: Readonly<Record<string, string>>;
}

export function denied(more: Partial<SentRecord> = {}): SentRecord {
  return { uid: randomUUID(), severityNumber: 13, eventName: 'fileward.file.denied', ...more };
}

export function modified(more: Partial<SentRecord> = {}): SentRecord {
  return { uid: randomUUID(), severityNumber: 9, eventName: 'fileward.file.modified', ...more };
}

const text = (value: string) => ({ stringValue: value });
const resource = {
  attributes: [
    { key: 'service.name', value: text('fileward') },
    { key: 'service.instance.id', value: text('sent-by-a-test') },
    { key: 'host.name', value: text('told-by-fileward') },
  ],
};
const scope = { name: 'fileward' };

async function post(url: string, body: object): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

/** One request with one point of a gauge, as fileward's own. @returns the HTTP status */
export function sendGauge(httpUrl: string, name: string, asDouble: number): Promise<number> {
  const gauge = { dataPoints: [{ timeUnixNano: `${Date.now()}000000`, asDouble }] };
  const scopeMetrics = [{ scope, metrics: [{ name, gauge }] }];
  return post(`${httpUrl}/v1/metrics`, { resourceMetrics: [{ resource, scopeMetrics }] });
}

/** One request, as fileward's own resource and scope. @returns the HTTP status */
export function send(httpUrl: string, records: readonly SentRecord[]): Promise<number> {
  const logRecords = records.map((record) => {
    const { uid, severityNumber, eventName, time = new Date(), padding = 0 } = record;
    const attributes = { 'log.record.uid': uid, ...record.attributes };
    return {
      timeUnixNano: `${time.getTime()}000000`,
      severityNumber,
      eventName,
      body: text(`${eventName} ${'x'.repeat(padding)}`),
      attributes: Object.entries(attributes).map(([key, value]) => ({ key, value: text(value) })),
    };
  });
  const scopeLogs = [{ scope, logRecords }];
  return post(`${httpUrl}/v1/logs`, { resourceLogs: [{ resource, scopeLogs }] });
}
