/**
 * A view over event records as the native core writes them (native/event/event_record.h): a cursor with typed getters,
 * so that reading an event makes no object but what is asked for.
 *
 * The bytes belong to the drain loop and are overwritten by its next slice: a `Buffer` a getter returned must be
 * copied to be kept; texts and numbers are copies already.
 */
// Long because each field of a record has its getter.
import * as layout from './event-layout.ts';

const noBytes = Buffer.alloc(0);

export class EventBatch {
  readonly #buffer: Buffer;
  readonly #failureNames: readonly string[];
  #start = 0;
  #end = 0;

  /** `bytes` holds whole records, as `Session.drain` leaves them; `failureNames` is that of `Native`. */
  constructor(bytes: Uint8Array, failureNames: readonly string[] = []) {
    this.#failureNames = failureNames;
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Steps to the next record, at first to the first one; false behind the last.
   * @throws RangeError when it isn't wholly in the batch, or its texts aren't wholly in it.
   */
  next(): boolean {
    this.#start = this.#end;
    const [at, left] = [this.#start, this.#buffer.length - this.#start];
    if (left <= 0) return false;
    const size = left < layout.eventHeaderBytes ? left : this.#buffer.readUInt32LE(at);
    let used: number = layout.eventHeaderBytes;
    for (let index = 0; used <= size && index < layout.eventStrings.length; index++) {
      used += this.#u32(layout.eventFields.lengths + index * 4);
    }
    if (used > size || size > left) {
      throw new RangeError(
        `event record of ${size} bytes at ${at} in a batch of ${this.#buffer.length}`,
      );
    }
    this.#end = at + size;
    return true;
  }

  /** Back before the first record. */
  rewind(): void {
    this.#start = 0;
    this.#end = 0;
  }

  get kind(): layout.EventKind {
    return this.#word(layout.eventKinds, this.#u16(layout.eventFields.kind));
  }

  get flags(): number {
    return this.#u16(layout.eventFields.flags);
  }

  has(flag: layout.EventFlag): boolean {
    return (this.flags & layout.eventFlags[flag]) !== 0;
  }

  /** CLOCK_REALTIME, nanoseconds: when it was read from the kernel. */
  get timeNs(): bigint {
    return this.#u64(layout.eventFields.time_ns);
  }

  get rulesetVersion(): bigint {
    return this.#u64(layout.eventFields.ruleset_version);
  }

  get operation(): layout.EventOperation {
    return this.#word(layout.eventOperations, this.#u8(layout.eventFields.operation));
  }

  get change(): layout.EventChange {
    return this.#word(layout.eventChanges, this.#u8(layout.eventFields.change));
  }

  get outcome(): layout.EventOutcome {
    return this.#word(layout.eventOutcomes, this.#u8(layout.eventFields.outcome));
  }

  get verdict(): layout.EventVerdict {
    return this.#word(layout.eventVerdicts, this.#u8(layout.eventFields.verdict));
  }

  get mode(): layout.EventMode {
    return this.#word(layout.eventModes, this.#u8(layout.eventFields.mode));
  }

  get reason(): layout.EventReason {
    return this.#word(layout.eventReasons, this.#u8(layout.eventFields.reason));
  }

  get actorState(): layout.ActorState {
    return this.#word(layout.actorStates, this.#u8(layout.eventFields.actor_state));
  }

  /** Index in the ruleset's `package_managers`; -1: the actor is none. */
  get packageManager(): number {
    return this.#u8(layout.eventFields.package_manager) - 1;
  }

  /** Through all groups of the ruleset of `rulesetVersion`; -1: no rule. */
  get ruleIndex(): number {
    return this.#buffer.readInt32LE(this.#start + layout.eventFields.rule_index);
  }

  get nlink(): number {
    return this.#u32(layout.eventFields.nlink);
  }

  get dev(): bigint {
    return this.#u64(layout.eventFields.dev);
  }

  get ino(): bigint {
    return this.#u64(layout.eventFields.ino);
  }

  get size(): bigint {
    return this.#u64(layout.eventFields.size);
  }

  get mtimeNs(): bigint {
    return this.#u64(layout.eventFields.mtime_ns);
  }

  /** `st_mode`, type bits included; 0: the file could not be looked at. */
  get fileMode(): number {
    return this.#u32(layout.eventFields.file_mode);
  }

  get fileUid(): number {
    return this.#u32(layout.eventFields.file_uid);
  }

  get fileGid(): number {
    return this.#u32(layout.eventFields.file_gid);
  }

  /** Whether the `before...` getters mean anything. */
  get beforeKnown(): boolean {
    return this.#u32(layout.eventFields.before_known) !== 0;
  }

  get beforeSize(): bigint {
    return this.#u64(layout.eventFields.before_size);
  }

  get beforeMtimeNs(): bigint {
    return this.#u64(layout.eventFields.before_mtime_ns);
  }

  get beforeMode(): number {
    return this.#u32(layout.eventFields.before_mode);
  }

  get beforeUid(): number {
    return this.#u32(layout.eventFields.before_uid);
  }

  get beforeGid(): number {
    return this.#u32(layout.eventFields.before_gid);
  }

  /** errno or index of a failure reason, by kind; what it is stands in native/event/event_record.h. */
  get detail(): number {
    return this.#u32(layout.eventFields.detail);
  }

  /** The `error.type` word that `detail` stands for in records of kind `lost`. */
  get failureName(): string {
    return this.#failureNames[this.detail] ?? 'unknown';
  }

  /** Process id (thread group); 0: not known. */
  get pid(): number {
    return this.#u32(layout.eventFields.pid);
  }

  get tid(): number {
    return this.#u32(layout.eventFields.tid);
  }

  get parentPid(): number {
    return this.#u32(layout.eventFields.ppid);
  }

  get euid(): number {
    return this.#u32(layout.eventFields.euid);
  }

  get ruid(): number {
    return this.#u32(layout.eventFields.ruid);
  }

  /** Per ring, without a gap as long as nothing was lost; wraps. */
  get sequence(): number {
    return this.#u32(layout.eventFields.sequence);
  }

  /** CLOCK_REALTIME, nanoseconds; 0n: not known. */
  get processStartNs(): bigint {
    return this.#u64(layout.eventFields.process_start_ns);
  }

  /** From reading the permission event to the answer. */
  get verdictDurationNs(): bigint {
    return this.#u64(layout.eventFields.verdict_duration_ns);
  }

  /** Files of a directory change, events of a gap (0n: unknown number). */
  get count(): bigint {
    return this.#u64(layout.eventFields.count);
  }

  /** Of the file: whose rule decided. `hostWorkload`, or the id of a `WorkloadSpec`. */
  get workload(): number {
    return this.#u32(layout.eventFields.workload);
  }

  /** Of the process; `unknownWorkload`: not known. */
  get actorWorkload(): number {
    return this.#u32(layout.eventFields.actor_workload);
  }

  get pathBytes(): Buffer {
    return this.bytes('path');
  }

  /** Bytes that are not UTF-8 show as U+FFFD. */
  get pathText(): string {
    return this.text('path');
  }

  get protectedPathText(): string {
    return this.text('protected_path');
  }

  get newPathText(): string {
    return this.text('new_path');
  }

  get exeText(): string {
    return this.text('exe');
  }

  get cgroupText(): string {
    return this.text('cgroup');
  }

  /** Executable paths, nearest first. */
  get ancestors(): string[] {
    return this.#list('ancestors');
  }

  get args(): string[] {
    return this.#list('args');
  }

  /** Text of a record that is about the agent: what was lost, degraded, replaced. */
  get detailText(): string {
    return this.text('text');
  }

  /** A view, valid until the batch callback returns. */
  bytes(name: layout.EventString): Buffer {
    let offset = this.#start + layout.eventHeaderBytes;
    for (const [index, other] of layout.eventStrings.entries()) {
      const length = this.#u32(layout.eventFields.lengths + index * 4);
      if (other === name) {
        return length === 0 ? noBytes : this.#buffer.subarray(offset, offset + length);
      }
      offset += length;
    }
    return noBytes;
  }

  text(name: layout.EventString): string {
    return this.bytes(name).toString('utf8');
  }

  #list(name: layout.EventString): string[] {
    const text = this.text(name);
    return text === '' ? [] : text.split('\0');
  }

  #word<Word extends string>(words: readonly Word[], index: number): Word {
    const word = words[index];
    if (word === undefined) throw new RangeError(`event record with unknown value ${index}`);
    return word;
  }

  #u8(field: number): number {
    return this.#buffer.readUInt8(this.#start + field);
  }

  #u16(field: number): number {
    return this.#buffer.readUInt16LE(this.#start + field);
  }

  #u32(field: number): number {
    return this.#buffer.readUInt32LE(this.#start + field);
  }

  #u64(field: number): bigint {
    return this.#buffer.readBigUInt64LE(this.#start + field);
  }
}
