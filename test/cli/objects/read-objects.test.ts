// What is read of files, folders and stdin: JSON of any size object by object, YAML document by document, and what is refused.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { objectsOf, sourcesOf, type ObjectSource } from '../../../src/cli/objects/read-objects.ts';
import type { RawObject } from '../../../src/cli/objects/json-objects.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-objects-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function sourceOf(text: string | Uint8Array, pieceBytes = 1_000_000): ObjectSource {
  const bytes = Buffer.from(text);
  return {
    name: 'dump.json',
    size: bytes.length,
    isFound: false,
    async *chunks() {
      for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
    },
  };
}

async function read(text: string | Uint8Array, pieceBytes?: number): Promise<RawObject[]> {
  return Array.fromAsync(objectsOf(sourceOf(text, pieceBytes)));
}

const pod = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  ...more,
});

describe('JSON', () => {
  test("the items of kubectl's List come one by one, whose keys are sorted: items before kind", async () => {
    const list = {
      apiVersion: 'v1',
      items: [pod('a'), pod('b')],
      kind: 'List',
      metadata: { resourceVersion: '' },
    };

    expect(await read(JSON.stringify(list, null, 4))).toEqual([pod('a'), pod('b')]);
  });

  test('the items of a typed list are given their kind', async () => {
    const items = [{ metadata: { name: 'a' } }];
    const list = { kind: 'PodList', apiVersion: 'v1', metadata: {}, items };

    expect(await read(JSON.stringify(list))).toEqual([pod('a')]);
  });

  test('one object, several, and Lists in a row', async () => {
    const one = JSON.stringify(pod('a'));

    expect(await read(one)).toEqual([pod('a')]);
    expect(await read(`${one}\n${one}\n{"kind":"List","items":[${one}]}`)).toEqual([
      pod('a'),
      pod('a'),
      pod('a'),
    ]);
    expect(await read('{"kind":"List","items":[]}')).toEqual([]);
  });

  test('an array, as jq .items leaves it', async () => {
    const text = `\n${JSON.stringify([pod('a'), pod('b')], null, 2)}\n`;

    for (const pieceBytes of [1, 1_000]) expect(await read(text, pieceBytes)).toEqual([pod('a'), pod('b')]);
    await expect(read('[{"kind":"Pod"}] and more')).rejects.toThrow('dump.json is no JSON');
  });

  test('a List in a List is opened, and items of an object that is no List are its own', async () => {
    const inner = { kind: 'List', items: [pod('a')] };
    const other = { kind: 'Menu', items: [{ kind: 'Dish' }] };

    expect(await read(JSON.stringify({ kind: 'List', items: [inner] }))).toEqual([pod('a')]);
    expect(await read(JSON.stringify(other))).toEqual([other]);
  });

  test('is the same however it is cut, whatever its strings hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.dictionary(
            fc.string(),
            fc.json().map((text) => JSON.parse(text) as unknown),
          ),
          {
            maxLength: 4,
          },
        ),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (bodies, pieceBytes, pretty) => {
          const items = bodies.map((body) => pod('a', { '"items": [': body, '\\"}]{': '\\' }));
          const list = { apiVersion: 'v1', items, kind: 'List', metadata: { items: ['{', { a: [] }] } };

          expect(await read(JSON.stringify(list, null, pretty ? 2 : 0), pieceBytes)).toEqual(
            JSON.parse(JSON.stringify(items)),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each([
    [
      'is cut off',
      '{"kind":"List","items":[{"kind":"Pod"},{"ki',
      'ends in the middle: is the dump complete?',
    ],
    ['is cut off between items', '{"kind":"List","items":[{"kind":"Pod"}', 'ends in the middle'],
    ['is none', '{kind: Pod}', 'is no JSON'],
    ['has something else among its items', '{"kind":"List","items":[1]}', 'is no JSON of Kubernetes objects'],
    ['goes on with something else', '{"kind":"Pod"} and more', 'is no JSON of Kubernetes objects'],
    ['closes what was not opened', '{"kind":"Pod"}]', 'is no JSON'],
  ])('that %s is refused in a sentence', async (_, text, sentence) => {
    for (const pieceBytes of [1, 1_000])
      await expect(read(text, pieceBytes)).rejects.toMatchObject({
        code: 'file-unreadable',
        message: expect.stringContaining(`dump.json ${sentence}`),
      });
  });

  test('without an end to an object is refused before the memory is full', async () => {
    const endless: ObjectSource = {
      ...sourceOf(''),
      async *chunks() {
        yield Buffer.from('{"kind":"Pod","name":"');
        for (;;) yield Buffer.alloc(1024 * 1024, 'x');
      },
    };

    await expect(Array.fromAsync(objectsOf(endless))).rejects.toThrow('has an object of more than 64 MiB');
  });
});

describe('YAML', () => {
  test('documents come one by one, however the text is cut', async () => {
    const text =
      '# first\n---\nkind: Pod\nmetadata: {name: a}\n---\n---\n{kind: Pod, metadata: {name: b}}\n--- # c\nkind: Pod\n';
    const wanted = [
      { kind: 'Pod', metadata: { name: 'a' } },
      { kind: 'Pod', metadata: { name: 'b' } },
      { kind: 'Pod' },
    ];

    for (const pieceBytes of [1, 3, 7, 1_000]) expect(await read(text, pieceBytes)).toEqual(wanted);
  });

  test('dashes in a text of their own, directives and values without a kind are no objects', async () => {
    const text = '%YAML 1.2\n---\nkind: ConfigMap\ndata:\n  a: |\n    ---\n    b\n---\nreplicas: 3\n';

    expect(await read(text)).toEqual([{ kind: 'ConfigMap', data: { a: '---\nb\n' } }]);
  });

  test('a List is its items', async () => {
    expect(await read('kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a}\n')).toEqual([pod('a')]);
  });

  test('a fault is told with its line in the file', async () => {
    await expect(read('kind: Pod\n---\nkind: Pod\nb: [1, 2\nc: 3\n')).rejects.toThrow(
      /^dump\.json:5: this is no YAML: /,
    );
  });

  test.each([
    'kind: Pod\nmetadata: {{ include "labels" . }}\n  x: y\n',
    '{{- if .Values.tls }}\nkind: Pod\n{{- end }}\n',
    '\n{{/* why */}}\nkind: Pod\n',
  ])('a Helm template is known as one, and not taken for JSON: %j', async (text) => {
    await expect(read(text)).rejects.toThrow(
      /this is no YAML: .* \(a template\? helm template writes the manifests\)$/,
    );
  });

  test('aliases that grow without end are refused', async () => {
    const rows = Array.from({ length: 9 }, (_, at) => `a${at + 1}: &a${at + 1} [${`*a${at},`.repeat(9)}]`);

    await expect(read(`kind: Pod\na0: &a0 [1]\n${rows.join('\n')}\n`)).rejects.toThrow(
      'too many follow one another',
    );
  });
});

describe('files', () => {
  const io = { readStdin: async () => 'kind: Pod\n' };
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const names = (files: readonly string[]) => sourcesOf(files, io).map(({ name }) => name);

  test('of a folder are all that end in .yaml, .yml or .json, in order, hidden ones left out', () => {
    mkdirSync(join(folder, 'b'));
    mkdirSync(join(folder, '.git'));
    for (const name of ['c.json', 'a.yml', 'README.md', 'b/x.yaml', '.git/x.yaml', '.x.yaml'])
      write(name, '');

    expect(names([folder])).toEqual(['a.yml', 'b/x.yaml', 'c.json'].map((name) => join(folder, name)));
  });

  test('are read by name whatever they are called, and - is stdin', async () => {
    write('dump', JSON.stringify(pod('a')));

    const found = sourcesOf([join(folder, 'dump'), '-'], io);

    expect(await Promise.all(found.map((source) => Array.fromAsync(objectsOf(source))))).toEqual([
      [pod('a')],
      [{ kind: 'Pod' }],
    ]);
  });

  test('that are not there are told', () => {
    expect(() => names([join(folder, 'none')])).toThrow(
      `cannot read ${join(folder, 'none')}: there is no such file`,
    );
  });

  test('of Windows: a byte order mark is passed over, UTF-16 is named', async () => {
    expect(await read(`\uFEFF${JSON.stringify(pod('a'))}`)).toEqual([pod('a')]);
    await expect(read(Buffer.from(`\uFEFF{"kind":"Pod"}`, 'utf16le'))).rejects.toThrow(
      'dump.json is UTF-16: write it as UTF-8',
    );
  });
});
