// Kubernetes objects in JSON, taken from a stream: one object, several, or the items of a List one by one, so that a dump of
// any size needs the memory of its largest object.
import { Problem } from '../../problem.ts';
import { fieldsOf, textOf } from '../../core/fields.ts';

export type RawObject = Readonly<Record<string, unknown>>;

/** etcd takes 1.5 MB in one object; what is larger is no dump, or has lost a quote. */
const LARGEST_OBJECT = 64 * 1024 * 1024;
/** Enough of what came before a bracket to see the key that it belongs to. */
const KEY_BYTES = 64;
const ITEMS_KEY = /(?<!\\)"items"\s*:\s*$/;
const LIST_WITHOUT_ITEMS = Buffer.from('{"items":[]');

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * The items of a typed list (`PodList`) carry no kind of their own and are given it.
 * @param name of the source, for sentences
 * @throws Problem file-unreadable for what is no JSON, ends in the middle, or has an object of more than 64 MiB
 */
export async function* jsonObjects(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<RawObject> {
  const fault = (why: string) => new Problem('file-unreadable', `${name} ${why}`);
  /** Earlier chunks of the object that is being read. */
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  /** While the items of a List go by, and until it ends. */
  let list: RawObject | undefined;
  let inItems = false;

  function keep(piece: Buffer): void {
    keptBytes += piece.length;
    if (keptBytes > LARGEST_OBJECT)
      throw fault('has an object of more than 64 MiB: has it lost a quote or a brace?');
    kept.push(piece);
  }
  function restart(start: readonly Buffer[] = []): void {
    kept = [...start];
    keptBytes = 0;
  }
  function parse(end: string): RawObject {
    try {
      return fieldsOf(JSON.parse(Buffer.concat(kept).toString('utf8') + end));
    } catch {
      throw fault('is no JSON');
    }
  }
  /** Chunks may be of one byte each. */
  const isItemsKey = (piece: Buffer) => ITEMS_KEY.test(tailOf([...kept.slice(-KEY_BYTES), piece]));

  for await (const { buffer, byteOffset, byteLength } of chunks) {
    const chunk = Buffer.from(buffer, byteOffset, byteLength);
    let from = 0;
    for (let at = 0; at < byteLength; at++) {
      const byte = chunk[at];
      if (inString) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_BRACE) {
        if (isBetween()) from = at;
        depth++;
      } else if (byte === OPEN_BRACKET) {
        depth++;
        if (depth !== 2 || list || !isItemsKey(chunk.subarray(from, at))) continue;
        keep(chunk.subarray(from, at));
        const head = parse('[]}');
        if (isList(head)) {
          [list, inItems] = [head, true];
          restart();
        } else from = at;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth--;
        if (inItems && depth === 1) {
          inItems = false;
          restart([LIST_WITHOUT_ITEMS]);
          from = at + 1;
        } else if (isBetween()) {
          keep(chunk.subarray(from, at + 1));
          const object = parse('');
          restart();
          if (depth === 0 && list) list = undefined;
          else yield withKindOf(list, object);
        }
      } else if (isBetween() && byte !== undefined && byte > 0x20 && !(inItems && byte === COMMA))
        throw fault('is no JSON of Kubernetes objects');
      if (depth < 0) throw fault('is no JSON');
    }
    if (!isBetween()) keep(Buffer.from(chunk.subarray(from)));
  }
  if (depth > 0 || inString) throw fault('ends in the middle: is the dump complete?');

  function isBetween(): boolean {
    return depth === 0 || (inItems && depth === 2);
  }
}

function tailOf(parts: readonly Buffer[]): string {
  const tails = parts.map((part) => part.subarray(-KEY_BYTES));
  return Buffer.concat(tails).toString('latin1').slice(-KEY_BYTES);
}

/** kubectl sorts its keys, so that of its own List nothing but apiVersion comes before the items. */
function isList({ kind }: RawObject): boolean {
  return kind === undefined || textOf(kind).endsWith('List');
}

function withKindOf(list: RawObject | undefined, object: RawObject): RawObject {
  const kind = textOf(list?.['kind']).replace(/List$/, '');
  if (!list || kind === '' || typeof object['kind'] === 'string') return object;
  return { apiVersion: list['apiVersion'], kind, ...object };
}
