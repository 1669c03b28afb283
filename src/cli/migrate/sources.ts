// The files that migrate reads: a file, a folder or stdin; plain manifests, which it may edit, and those that Kustomize or
// Helm makes something else of, which it may not.
import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import * as yaml from 'yaml';
import { isFolder, readText } from '../../text-file.ts';
import { fieldsOf } from '../../core/fields.ts';
import { Problem } from '../../problem.ts';
import { lineNumbers } from './text-edits.ts';
import { expand, type Manifest } from '../manifests.ts';
import { valueOf } from '../objects/yaml-objects.ts';
import type { CommandIo } from '../output.ts';

/** `template`: has Helm's braces and is no YAML. `values`: what a chart is given. */
export type SourceKind = 'manifests' | 'kustomize' | 'template' | 'values';

export interface SourceFile {
  /** As it was named; `-` for stdin. */
  readonly path: string;
  readonly kind: SourceKind;
  readonly text: string;
  /** None for a template. */
  readonly documents: readonly yaml.Document[];
  readonly manifests: readonly PlacedManifest[];
}

export interface PlacedManifest extends Manifest {
  readonly file: string;
  readonly line: number;
  readonly document: number;
  /** Where in the document: empty but in a List. */
  readonly path: readonly (string | number)[];
}

const KUSTOMIZATIONS = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'];
/** Further up than this nobody keeps the chart of a template. */
const MOST_PARENTS = 4;

/** @param namespace of objects that name none. @throws Problem file-unreadable, also for what is no YAML */
export async function readSources(file: string, namespace: string, io: CommandIo): Promise<SourceFile[]> {
  if (file === '-') return [sourceOf('-', await io.readStdin(), 'manifests', namespace)];
  const root = isFolder(file) ? file : dirname(file);
  return filesOf(file).map((path) => sourceOf(path, readText(path), placeOf(path, root), namespace));
}

/** In the order of their names, so that a diff is the same everywhere. */
function filesOf(path: string): string[] {
  if (!isFolder(path)) return [path];
  const entries = readdirSync(path, { withFileTypes: true });
  return entries
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const inside = join(path, entry.name);
      if (entry.isDirectory())
        return entry.name.startsWith('.') || entry.name === 'node_modules' ? [] : filesOf(inside);
      return entry.isFile() && /\.(?:ya?ml|json|tpl)$/.test(entry.name) ? [inside] : [];
    });
}

/** What stands beside the file, or above it, says what is made of it. */
function placeOf(path: string, root: string): SourceKind {
  // However they were written: a folder above the root is the one that does not begin with it.
  const top = resolve(root);
  let folder = resolve(dirname(path));
  for (let up = 0; up < MOST_PARENTS; up++) {
    const names = namesIn(folder);
    if (names.includes('Chart.yaml')) return up === 0 ? 'values' : 'template';
    if (names.some((name) => KUSTOMIZATIONS.includes(name)) && folder.startsWith(top)) return 'kustomize';
    if (dirname(folder) === folder) break;
    folder = dirname(folder);
  }
  return /^values[^/]*\.ya?ml$/.test(basename(path)) ? 'values' : 'manifests';
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function sourceOf(path: string, text: string, place: SourceKind, namespace: string): SourceFile {
  if (text.includes('{{') || path.endsWith('.tpl'))
    return { path, kind: 'template', text, documents: [], manifests: [] };
  const parsed = yaml.parseAllDocuments(text);
  const documents = Array.isArray(parsed) ? parsed : [];
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault) {
    const told = fault.message.split('\n')[0]?.replace(/:$/, '');
    throw new Problem('file-unreadable', `cannot read ${path}: it is no YAML: ${told}`);
  }
  const lineOf = lineNumbers(text);
  const manifests = documents.flatMap((document, at) => placed(document, at, path, lineOf, namespace));
  const kind = place === 'manifests' && manifests.length === 0 ? 'values' : place;
  return { path, kind, text, documents, manifests };
}

function placed(
  document: yaml.Document,
  at: number,
  file: string,
  lineOf: (offset: number) => number,
  namespace: string,
): PlacedManifest[] {
  const unreadable = (why: string) => new Problem('file-unreadable', `cannot read ${file}: ${why}`);
  const raw = fieldsOf(valueOf(document, unreadable));
  const { items } = raw;
  const paths = raw['kind'] === 'List' && Array.isArray(items) ? items.keys().map((n) => ['items', n]) : [[]];
  return [...paths].flatMap((path) => {
    const node = document.getIn(path, true) ?? document.contents;
    const line = yaml.isNode(node) && node.range ? lineOf(node.range[0]) : 1;
    const object = path.reduce<unknown>((value, step) => (value as Record<string, unknown>)[step], raw);
    return expand(object, namespace).map((manifest) => ({ ...manifest, file, line, document: at, path }));
  });
}
