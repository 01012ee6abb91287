// Splits a GGUF file as ggml's `gguf-split` does (docs/gguf.md of the ggml project).

const ALIGNMENT = 32;
/** Bytes of a value, by the number of its type; 8 is a text, 9 an array. */
const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const UINT16 = 2;
const INT32 = 5;

const align = (at) => Math.ceil(at / ALIGNMENT) * ALIGNMENT;

/** The files of the GGUF file `whole` in `count` parts, the first with all metadata. */
export function splitGguf(whole, count) {
  let at = 8;
  const u32 = () => whole.readUInt32LE((at += 4) - 4);
  const u64 = () => Number(whole.readBigUInt64LE((at += 8) - 8));
  const text = () => {
    const length = u64();
    return whole.subarray(at, (at += length));
  };
  const skip = (type) => {
    if (type === 8) text();
    else if (type !== 9) at += SIZES[type];
    else {
      const [of, length] = [u32(), u64()];
      for (let index = 0; index < length; index++) skip(of);
    }
  };
  const [tensorCount, keyCount] = [u64(), u64()];
  const keysFrom = at;
  for (let index = 0; index < keyCount; index++) {
    text();
    skip(u32());
  }
  const keys = whole.subarray(keysFrom, at);
  const tensors = Array.from({ length: tensorCount }, () => {
    const from = at;
    text();
    const dimensions = u32();
    at += 8 * dimensions + 4;
    const info = whole.subarray(from, at);
    return { info, offset: u64() };
  });
  const data = align(at);
  const ends = [...tensors.map(({ offset }) => offset), whole.length - data].sort((a, b) => a - b);
  const size = Math.ceil(tensorCount / count);
  return Array.from({ length: count }, (_, no) => {
    const own = [
      key("split.no", UINT16, no),
      key("split.count", UINT16, count),
      key("split.tensors.count", INT32, tensorCount),
    ];
    const part = tensors.slice(no * size, (no + 1) * size);
    const head = Buffer.alloc(24);
    whole.copy(head, 0, 0, 8);
    head.writeBigUInt64LE(BigInt(part.length), 8);
    head.writeBigUInt64LE(BigInt(own.length + (no === 0 ? keyCount : 0)), 16);
    const [header, bytes] = [[head, ...(no === 0 ? [keys] : []), ...own], []];
    let offset = 0;
    for (const { info, offset: from } of part) {
      const end = ends.find((end) => end > from);
      const place = Buffer.alloc(8);
      place.writeBigUInt64LE(BigInt(offset));
      header.push(info, place);
      bytes.push(whole.subarray(data + from, data + end), Buffer.alloc(align(end - from) - (end - from)));
      offset += align(end - from);
    }
    const written = Buffer.concat(header);
    return Buffer.concat([written, Buffer.alloc(align(written.length) - written.length), ...bytes]);
  });
}

function key(name, type, value) {
  const bytes = Buffer.alloc(8 + name.length + 4 + SIZES[type]);
  bytes.writeBigUInt64LE(BigInt(name.length));
  bytes.write(name, 8);
  bytes.writeUInt32LE(type, 8 + name.length);
  bytes.writeUIntLE(value, 12 + name.length, SIZES[type]);
  return bytes;
}
