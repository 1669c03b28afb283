// keyless-pull migrate: manifests without the static pull secrets that rules replace, as a diff or in place.
import { writeFileSync } from 'node:fs';
import { loadConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { errnoText } from '../text-file.ts';
import { readAccountWishes } from './migrate/account-wishes.ts';
import { chartAdvice, editAdvice, kustomizeCommand, wantedText } from './migrate/by-hand.ts';
import { createWorld } from './migrate/coverage.ts';
import { changedText, type Change } from './migrate/file-changes.ts';
import { fileDiff } from './migrate/file-diff.ts';
import { migrationOf, type Wanted } from './migrate/migration.ts';
import { readSources, type PlacedManifest, type SourceFile } from './migrate/sources.ts';
import { pullSecretsPath } from './manifests.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';
import { paintedDiff, reportText } from './migrate/report.ts';
import type { Edit } from './migrate/text-edits.ts';
import type { Advice } from './migrate/advice.ts';
import type { MigrationMode } from './migrate/namespaces.ts';

export interface MigrateOptions {
  /** A file, a folder, or `-` for stdin. */
  readonly file: string;
  readonly config: string;
  readonly namespace: string;
  readonly mode: MigrationMode;
  readonly set: readonly string[];
  /** Hosts that ask for no login. */
  readonly public: readonly string[];
  readonly write?: boolean;
  readonly output: OutputForm;
  readonly color: boolean;
}

interface ChangedFile {
  readonly path: string;
  readonly changes: readonly string[];
  /** Empty where it would show the data of a Secret. */
  readonly diff: string;
}

const HIDDEN = 'changed, but a diff would show the data of a Secret: --write makes the changes without it';

export interface MigrateResult {
  readonly files: readonly ChangedFile[];
  /** References that stay. */
  readonly kept: readonly {
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly secret: string;
    readonly hosts: readonly string[];
    readonly reason: string;
    readonly file: string;
    readonly line: number;
  }[];
  readonly advice: readonly Advice[];
  readonly summary: {
    readonly files: number;
    readonly changes: number;
    readonly removed: number;
    readonly kept: number;
    readonly advice: number;
    readonly written: boolean;
  };
}

/** @throws Problem config-invalid, file-unreadable or usage; then nothing is written */
export async function migrate(options: MigrateOptions, io: CommandIo): Promise<ExitCode> {
  const isPrinted = options.write === true && options.file === '-';
  if (isPrinted && options.output !== 'table')
    throw new Problem('usage', '--write with "-" prints the manifests themselves: leave --output out');
  const config = loadConfig(options.config);
  const wishes = readAccountWishes(options.set, config.rules);
  const sources = await readSources(options.file, options.namespace, io);
  const manifests = sources.flatMap((source) => source.manifests);
  const world = createWorld(manifests, { config, wishes, publicHosts: new Set(options.public) });
  const { wanted, kept, advice } = migrationOf(world, options.mode);
  const told: Advice[] = [...advice, ...sources.filter(isOfChart).flatMap(chartAdvice)];
  const files: ChangedFile[] = [];
  const texts: { readonly path: string; readonly text: string }[] = [];
  let removed = 0;
  const byFile = Map.groupBy(wanted as readonly PlacedWanted[], ({ manifest }) => manifest.file);
  for (const source of sources) {
    const changed = changeFile(source, byFile.get(source.path) ?? [], told);
    texts.push({ path: source.path, text: changed.text });
    if (changed.done.length === 0) continue;
    for (const one of changed.done) if (one.kind === 'references') removed += one.secrets.length;
    const diff = fileDiff(source, changed.edits);
    if (diff === undefined && !options.write) told.push({ text: HIDDEN, file: source.path, line: 1 });
    files.push({ path: source.path, changes: changed.done.map(wantedText), diff: diff ?? '' });
  }
  const count = files.reduce((sum, { changes }) => sum + changes.length, 0);
  const result: MigrateResult = {
    files,
    kept: kept.map(({ holder, secret, hosts, stays = '' }) => {
      // Every manifest of this world came from a file.
      const { kind, namespace, name, file, line } = holder as PlacedManifest;
      return { kind, namespace, name, secret, hosts, reason: stays, file, line };
    }),
    advice: told,
    summary: {
      files: files.length,
      changes: count,
      removed,
      kept: kept.length,
      advice: told.length,
      written: options.write === true,
    },
  };
  if (options.write) writeAll(files, texts);
  if (isPrinted) io.out(texts[0]?.text ?? '');
  else
    writeResult(io, options.output, result, () =>
      options.write ? '' : files.map(({ diff }) => paintedDiff(diff, createPaint(options.color))).join(''),
    );
  if (options.output === 'table') io.err(reportText(result));
  return count === 0 || options.write ? 0 : 1;
}

type PlacedWanted = Wanted & { readonly manifest: PlacedManifest };

function isOfChart({ kind }: SourceFile): boolean {
  return kind === 'template' || kind === 'values';
}

function changeFile(
  source: SourceFile,
  wanted: readonly PlacedWanted[],
  told: Advice[],
): {
  readonly text: string;
  readonly edits: readonly Edit[];
  readonly done: readonly PlacedWanted[];
} {
  if (source.kind === 'kustomize')
    for (const one of wanted)
      told.push({
        ...editAdvice(one, 'Kustomize builds from this file'),
        command: kustomizeCommand(one),
      });
  if (source.kind !== 'manifests') return { text: source.text, edits: [], done: [] };
  const changes = new Map(wanted.map((one) => [changeFor(one), one]));
  const { text, edits, done, byHand } = changedText(source.text, source.documents, [...changes.keys()]);
  const of = (list: readonly Change[]) => list.flatMap((change) => changes.get(change) ?? []);
  for (const one of of(byHand)) told.push(editAdvice(one, 'written in a way that is left to you'));
  return { text, edits, done: of(done) };
}

function changeFor(wanted: PlacedWanted): Change {
  const { document, path: object, kind } = wanted.manifest;
  if (wanted.kind === 'references')
    return {
      kind: 'removal',
      document,
      object,
      within: pullSecretsPath(kind) ?? [],
      secrets: wanted.secrets,
    };
  return { kind: 'entries', document, object, member: wanted.kind, entries: wanted.entries };
}

function writeAll(
  files: readonly ChangedFile[],
  texts: readonly { readonly path: string; readonly text: string }[],
): void {
  const changed = new Set(files.map(({ path }) => path));
  for (const { path, text } of texts) {
    if (!changed.has(path) || path === '-') continue;
    try {
      writeFileSync(path, text);
    } catch (cause) {
      throw new Problem('file-unreadable', `cannot write ${path}: ${errnoText(cause)}`, { cause });
    }
  }
}
