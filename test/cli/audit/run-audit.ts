// audit as a command over objects in memory, with a config or without, and what it says as JSON.
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { audit, type AuditOptions } from '../../../src/cli/audit.ts';
import { createHandClock } from '../../fakes/hand-clock.ts';
import { createPrinted, type Printed } from '../fake-user-cluster.ts';
import { CONFIG } from './shop.ts';
import type { AuditReport } from '../../../src/cli/audit/report.ts';
import type { RawObject } from '../../../src/cli/objects/json-objects.ts';

export interface Audited {
  readonly code: number;
  readonly io: Printed;
  readonly report: AuditReport;
}

export interface RunWish extends Partial<Omit<AuditOptions, 'config'>> {
  /** The text of a config; the shop's when absent, none for `null`. */
  readonly config?: string | null;
  readonly text?: string;
}

/** The clock stands at 2026-11-21T12:00:00Z. */
export async function runAudit(
  objects: readonly RawObject[],
  { config = CONFIG, text, ...wish }: RunWish = {},
): Promise<Audited> {
  const io = createPrinted();
  io.readStdin = async () => text ?? JSON.stringify({ apiVersion: 'v1', items: objects, kind: 'List' });
  using folder = temporaryFolder();
  const configFile = join(folder.path, 'config.yaml');
  if (config !== null) writeFileSync(configFile, config);
  const options: AuditOptions = {
    file: ['-'],
    output: 'json',
    color: false,
    ...wish,
    ...(config !== null && { config: configFile }),
  };
  const code = await audit(options, io, { clock: createHandClock() });
  const isJson = options.output === 'json' && io.stdout !== '';
  return { code, io, report: isJson ? (JSON.parse(io.stdout) as AuditReport) : ({} as AuditReport) };
}

export function temporaryFolder() {
  return mkdtempDisposableSync(join(tmpdir(), 'keyless-pull-audit-'));
}

/** What a reader sees first of each finding. */
export function linesOf({ findings }: AuditReport): string[] {
  return findings.map(
    ({ namespace, kind, name, origin, secret }) => `${namespace} ${kind}/${name}: ${secret}, ${origin}`,
  );
}
