// The objects that a user names with -f: files, folders and stdin, JSON or YAML, as streams. Who reads them decides what to keep.
import { createReadStream, readdirSync, statSync, type Stats } from 'node:fs';
import { extname, join } from 'node:path';
import { Problem } from '../../problem.ts';
import { errnoText, reading } from '../../text-file.ts';
import { jsonObjects, type RawObject } from './json-objects.ts';
import { itemsOf, yamlObjects } from './yaml-objects.ts';
import type { CommandIo } from '../output.ts';

export interface ObjectSource {
  /** As a person knows it. */
  readonly name: string;
  /** Bytes; 0 where nobody can know. */
  readonly size: number;
  /** Found in a folder, not named: what is no YAML there is told and passed over. */
  readonly isFound: boolean;
  chunks(): AsyncIterable<Uint8Array>;
}

const EXTENSIONS = new Set(['.yaml', '.yml', '.json']);
const [OPEN_BRACE, OPEN_BRACKET] = [0x7b, 0x5b];
/** Large enough that a dump of several hundred MB is a few thousand of them. */
const CHUNK_BYTES = 256 * 1024;

/** @param files paths, or `-` for stdin; a folder is all in it that ends in .yaml, .yml or .json. @throws Problem file-unreadable */
export function sourcesOf(
  files: readonly string[],
  io: Pick<CommandIo, 'readStdin' | 'stdinChunks'>,
): ObjectSource[] {
  return files.flatMap((file) => {
    if (file === '-') return [{ name: 'stdin', size: 0, isFound: false, chunks: () => stdinOf(io) }];
    const stats = statusOf(file);
    if (!stats.isDirectory()) return [fileSource(file, stats.size, false)];
    return filesIn(file).map((path) => fileSource(path, statusOf(path).size, true));
  });
}

async function* stdinOf(io: Pick<CommandIo, 'readStdin' | 'stdinChunks'>): AsyncGenerator<Uint8Array> {
  if (!io.stdinChunks) {
    yield Buffer.from(await io.readStdin());
    return;
  }
  try {
    yield* io.stdinChunks();
  } catch (cause) {
    throw new Problem('deadline', 'broken off while stdin was read', { cause });
  }
}

function fileSource(path: string, size: number, isFound: boolean): ObjectSource {
  return {
    name: path,
    size,
    isFound,
    async *chunks() {
      try {
        yield* createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Uint8Array>;
      } catch (cause) {
        throw new Problem('file-unreadable', `cannot read ${path}: ${errnoText(cause)}`, { cause });
      }
    },
  };
}

/** Sorted by path; hidden ones and packages of Node are nobody's manifests. */
function filesIn(folder: string): string[] {
  return reading(folder, () => readdirSync(folder, { withFileTypes: true }))
    .filter(({ name }) => !name.startsWith('.') && name !== 'node_modules')
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesIn(path);
      return EXTENSIONS.has(extname(path)) && statusOf(path).isFile() ? [path] : [];
    });
}

function statusOf(path: string): Stats {
  return reading(path, () => statSync(path));
}

/** The objects of one source, one after the other; Lists are opened, and arrays, as jq cuts them out of one. @throws Problem file-unreadable */
export async function* objectsOf(
  source: ObjectSource,
  onBytes: (count: number) => void = () => undefined,
): AsyncGenerator<RawObject> {
  const chunks = counted(source.chunks(), onBytes);
  // Until something is there that says whether this is JSON.
  const start: Uint8Array[] = [];
  let [first, second]: (number | undefined)[] = [];
  for (;;) {
    const next = await chunks.next();
    if (next.done) break;
    start.push(withoutByteOrderMark(next.value, start.length === 0, source.name));
    const chunk = start.at(-1) ?? Buffer.of();
    const at = chunk.findIndex((byte) => byte > 0x20);
    if (at === -1) continue;
    [first, second] = chunk.subarray(at);
    break;
  }
  const isArray = first === OPEN_BRACKET;
  const all = isArray
    ? rejoined([Buffer.from('{"items":'), ...start], chunks, [Buffer.from('}')])
    : rejoined(start, chunks);
  // No JSON begins with two of them: a template of Helm does.
  const isJson = isArray || (first === OPEN_BRACE && second !== OPEN_BRACE);
  if (!isJson) return yield* yamlObjects(all, source.name);
  for await (const object of jsonObjects(all, source.name)) yield* itemsOf(object);
}

async function* counted(chunks: AsyncIterable<Uint8Array>, onBytes: (count: number) => void) {
  for await (const chunk of chunks) {
    onBytes(chunk.byteLength);
    yield chunk;
  }
}

async function* rejoined(
  start: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
  end: readonly Uint8Array[] = [],
) {
  yield* start;
  yield* rest;
  yield* end;
}

/** What Windows' editors and shells put first. */
function withoutByteOrderMark(chunk: Uint8Array, isFirst: boolean, name: string): Uint8Array {
  const [one, two, three] = chunk;
  if (!isFirst) return chunk;
  if ((one === 0xff && two === 0xfe) || (one === 0xfe && two === 0xff))
    throw new Problem('file-unreadable', `${name} is UTF-16: write it as UTF-8`);
  return one === 0xef && two === 0xbb && three === 0xbf ? chunk.subarray(3) : chunk;
}
