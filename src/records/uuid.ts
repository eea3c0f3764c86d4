import { randomFillSync } from 'node:crypto';

/** Random bytes are drawn for this many ids at once: one draw each would cost more than the record. */
const IDS_PER_DRAW = 512;
const pool = Buffer.alloc(IDS_PER_DRAW * 10);
let used = pool.length;

/** UUIDv7 (RFC 9562, section 5.7) of a time in milliseconds since the epoch. */
export function uuidV7(timeMs: number): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const id = Buffer.alloc(16);
  id.writeUIntBE(timeMs, 0, 6);
  pool.copy(id, 6, used, used + 10);
  used += 10;
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x70, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = id.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
