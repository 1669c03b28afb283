// Kubernetes objects in YAML, document by document. Unlike JSON a document is read in one piece: dumps are better JSON.
import * as yaml from 'yaml';
import { Problem } from '../../problem.ts';
import { fieldsOf } from '../../core/fields.ts';
import type { RawObject } from './json-objects.ts';

/** A parsed document takes twenty times its text; this much is a List of some thousand pods. */
const LONGEST_DOCUMENT = 32 * 1024 * 1024;
const SEPARATOR = /^---(?=\s)/gm;

export interface YamlText {
  readonly text: string;
  /** Of its first line in the file, from 1. */
  readonly line: number;
}

/** The texts between `---`: at the beginning of a line it always begins a document. @throws Problem file-unreadable */
async function* yamlTexts(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<YamlText> {
  const decoder = new TextDecoder('utf-8');
  let text = '';
  let line = 1;
  let searched = 0;
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    for (;;) {
      SEPARATOR.lastIndex = searched;
      const found = SEPARATOR.exec(text);
      if (!found) break;
      const document = text.slice(0, found.index);
      if (document.trim() !== '') yield { text: document, line };
      line += document.split('\n').length - 1;
      // What stands behind the dashes in their line belongs to the document.
      text = `   ${text.slice(found.index + 3)}`;
      searched = 3;
    }
    // A separator may be cut in two, and counts only with what follows it.
    searched = Math.max(0, text.lastIndexOf('\n') + 1);
    if (text.length > LONGEST_DOCUMENT)
      throw new Problem(
        'file-unreadable',
        `${name} has a YAML document of more than 32 MiB: write the dump with -o json, which is read object by object`,
      );
  }
  text += decoder.decode();
  if (text.trim() !== '') yield { text, line };
}

/** @throws Problem file-unreadable, with the line */
export async function* yamlObjects(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<RawObject> {
  for await (const document of yamlTexts(chunks, name)) yield* itemsOf(parse(document, name));
}

function parse({ text, line }: YamlText, name: string): unknown {
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'silent',
  });
  const fault = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  const advice = text.includes('{{') ? ' (a template? helm template writes the manifests)' : '';
  const refuse = (at: number, why: string) =>
    new Problem('file-unreadable', `${name}:${at}: ${why}${advice}`);
  // Directives alone, before the document that they are for.
  if (fault?.code === 'MISSING_CHAR' && /^\s*%/.test(text)) return undefined;
  if (fault)
    throw refuse(
      line + lines.linePos(fault.pos[0]).line - 1,
      `this is no YAML: ${fault.message.split('\n')[0]?.replace(/:$/, '')}`,
    );
  return valueOf(document, (why) => refuse(line, why));
}

/** What a parsed document says: aliases that name nothing, or grow to more than any manifest needs, are found only here. */
export function valueOf(document: yaml.Document, refuse: (why: string) => Problem): unknown {
  try {
    return document.toJS();
  } catch {
    throw refuse('an alias (*name) names no anchor, or too many follow one another');
  }
}

/** A List is its items, also in a List. */
export function* itemsOf(raw: unknown): Generator<RawObject> {
  const object = fieldsOf(raw);
  const { kind, items, apiVersion } = object;
  if (typeof kind !== 'string') return;
  if (!kind.endsWith('List') || !Array.isArray(items)) {
    yield object;
    return;
  }
  const ofItem = kind.slice(0, -'List'.length);
  for (const item of items)
    yield* itemsOf(ofItem === '' ? item : { apiVersion, kind: ofItem, ...fieldsOf(item) });
}
