/**
 * What became of every record that the worker was given or found on disk: recovered + taken = exported + held + lost, at
 * every moment between two calls.
 */
import { timeSpan } from '../records/clock.ts';
import type { LostReason } from '../records/names.ts';
import { type Chunk, recordsIn, type Slice, sizeOf } from './chunk.ts';
import type { LostRecords, Report } from './outbox-messages.ts';
import { type Contents, MOST_REFUSED } from './outbox-store.ts';

export class OutboxAccount {
  readonly #held = { records: 0, bytes: 0, onDisk: 0 };
  #recovered = 0;
  #exported = 0;
  #refused = 0;
  #lost: LostRecords[] = [];

  get held(): Report['held'] {
    return this.#held;
  }

  /** What was lost is told once. */
  report(): Pick<Report, 'recovered' | 'exported' | 'held' | 'refused' | 'lost'> {
    return {
      recovered: this.#recovered,
      exported: this.#exported,
      held: { ...this.#held },
      refused: this.#refused,
      lost: this.#lost.splice(0),
    };
  }

  recovered({ records, bytes, refused }: Contents): void {
    this.#recovered += records;
    this.#refused += refused;
    this.#held.records += records;
    this.#held.bytes += bytes;
    this.#held.onDisk += records;
  }

  taken(chunk: Chunk): void {
    this.#held.records += chunk.records;
    this.#held.bytes += sizeOf(chunk);
  }

  written(records: number): void {
    this.#held.onDisk += records;
  }

  refused(records: number): void {
    this.#refused = Math.min(this.#refused + records, MOST_REFUSED);
  }

  exported(records: number): void {
    this.#exported += records;
  }

  /** @param count - of the records in `slices`; which ones may not be known */
  lost(slices: readonly Slice[], count: number, reason: LostReason): void {
    const [first] = slices;
    if (first === undefined || count === 0) return;
    // Where it isn't known which, those about losses are taken for the last of them.
    const others = recordsIn(slices.filter(({ chunk }) => !chunk.aboutLoss));
    const times = slices.flatMap(({ chunk }) => [chunk.fromNs, chunk.toNs]);
    this.#lost.push({
      reason,
      stage: reason === 'export_rejected' ? 'export' : 'outbox',
      count: Math.min(count, others),
      aboutLoss: Math.max(count - others, 0),
      ...timeSpan([first.chunk.fromNs, ...times]),
    });
  }

  /** Acknowledged or lost. @param done - nothing of its chunk is left */
  released({ chunk, records }: Slice, onDisk: boolean, done: boolean): void {
    this.#held.records -= records;
    if (onDisk) this.#held.onDisk -= records;
    if (done) this.#held.bytes -= sizeOf(chunk);
  }

  /**
   * What was on disk only is gone.
   * @param left - records that were on disk and are in memory too; bytes of all that is in memory
   * @param unread - nobody knows how much was there
   */
  diskLost(left: { readonly records: number; readonly bytes: number }, unread: boolean): void {
    const gone = this.#held.onDisk - left.records;
    this.#held.records -= gone;
    this.#held.bytes = left.bytes;
    this.#held.onDisk = 0;
    if (gone === 0 && !unread) return;
    this.#lost.push({
      reason: 'outbox_corrupt',
      stage: 'outbox',
      ...(!unread && { count: gone }),
      aboutLoss: 0,
    });
  }
}
