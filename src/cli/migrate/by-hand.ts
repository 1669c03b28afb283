// What is told instead of an edit: where Kustomize or Helm makes the manifests, and where a text is too odd to be edited.
import * as yaml from 'yaml';
import { fieldsOf, textOf } from '../../core/fields.ts';
import { pullSecretsPath } from '../manifests.ts';
import { shellQuoted, shellWord } from '../trust/quoting.ts';
import { lineNumbers } from './text-edits.ts';
import type { Advice } from './advice.ts';
import type { Wanted } from './migration.ts';
import type { PlacedManifest, SourceFile } from './sources.ts';

/** `Deployment shop/web: remove nexus from imagePullSecrets`, as a table and advice have it. */
export function wantedText(wanted: Wanted): string {
  const { kind, namespace, name } = wanted.manifest;
  const object = kind === 'Namespace' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
  if (wanted.kind === 'references') {
    return `${object}: remove ${wanted.secrets.join(', ')} from imagePullSecrets`;
  }
  const entries = wanted.entries.map(([key, value]) => `${key}=${value}`);
  return `${object}: ${wanted.kind === 'labels' ? 'label' : 'annotate'} ${entries.join(' ')}`;
}

/** @param why it is not edited */
export function editAdvice(wanted: Wanted & { readonly manifest: PlacedManifest }, why: string): Advice {
  const { file, line } = wanted.manifest;
  return { text: `${why}: ${wantedText(wanted)}`, file, line };
}

/** In the folder of the kustomization: works on what its resources have, whoever wrote them. */
export function kustomizeCommand(wanted: Wanted & { readonly manifest: PlacedManifest }): string {
  const { kind, name, object } = wanted.manifest;
  const patch = shellQuoted(JSON.stringify(operationsFor(wanted, object)));
  return `kustomize edit add patch --kind ${shellWord(kind)} --name ${shellWord(name)} --patch ${patch}`;
}

function operationsFor(wanted: Wanted, object: Readonly<Record<string, unknown>>): unknown[] {
  if (wanted.kind !== 'references') {
    const present = fieldsOf(object['metadata'])[wanted.kind];
    const path = `/metadata/${wanted.kind}`;
    if (present === undefined || present === null)
      return [{ op: 'add', path, value: Object.fromEntries(wanted.entries) }];
    return wanted.entries.map(([key, value]) => ({
      op: 'add',
      path: `${path}/${key.replaceAll('/', '~1')}`,
      value,
    }));
  }
  return removalOperations(wanted.manifest.kind, object, wanted.secrets);
}

/** Each removal behind a test of the name that stood there, from the end, so that places stay what they were. */
export function removalOperations(
  kind: string,
  object: Readonly<Record<string, unknown>>,
  secrets: readonly string[],
): { op: string; path: string; value?: unknown }[] {
  const steps = pullSecretsPath(kind) ?? [];
  const holder = fieldsOf(steps.reduce<unknown>((value, step) => fieldsOf(value)[step], object));
  const list = Array.isArray(holder['imagePullSecrets']) ? holder['imagePullSecrets'] : [];
  const path = `/${[...steps, 'imagePullSecrets'].join('/')}`;
  return list
    .map((entry, at) => ({ name: fieldsOf(entry)['name'], at }))
    .filter(({ name }) => typeof name === 'string' && secrets.includes(name))
    .toReversed()
    .flatMap(({ name, at }) => [
      { op: 'test', path: `${path}/${at}/name`, value: name },
      { op: 'remove', path: `${path}/${at}` },
    ]);
}

/** Lines of templates and values that name pull secrets. */
export function chartAdvice({ path: file, kind, text, documents }: SourceFile): Advice[] {
  if (kind === 'template') {
    return text.split('\n').flatMap((line, at) => {
      if (!/^[^#]*\bimagePullSecrets\b/.test(line)) return [];
      return {
        text: 'a Helm template names imagePullSecrets: leave the template, and give it an empty list in the values',
        file,
        line: at + 1,
      };
    });
  }
  const lineOf = lineNumbers(text);
  return documents.flatMap((document) => {
    const found: Advice[] = [];
    yaml.visit(document, {
      Pair(_key, { key, value }) {
        if (!yaml.isScalar(key) || !yaml.isSeq(value) || value.items.length === 0 || !key.range) return;
        if (!/pullSecrets?$/i.test(String(key.value))) return;
        const names = value.items.map((item) => nameOf(item)).filter((name) => name !== '');
        const told = 'these values name pull secrets: set the list to [] once every registry is covered';
        const more = 'helm template … | keyless-pull migrate -f - shows which are';
        const line = lineOf(key.range[0]);
        found.push({ text: `${told} (${names.join(', ')}); ${more}`, file, line });
      },
    });
    return found;
  });
}

function nameOf(item: unknown): string {
  if (yaml.isScalar(item)) return String(item.value);
  return yaml.isMap(item) ? textOf(item.get('name')) : '';
}
