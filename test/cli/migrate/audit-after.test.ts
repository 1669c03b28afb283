// After migrate, audit reports nothing of what was migrated, and what it still reports is what migrate said must stay.
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import { account, createFolder, HOST, NAMESPACE, pod, type Folder } from './folder.ts';

interface Finding {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly secret: string;
  readonly origin: string;
  readonly covered: boolean;
}

async function audit(folder: Folder): Promise<Finding[]> {
  const io = createPrinted();
  const config = join(folder.path, '../config.yaml');
  await runProgram('keyless-pull', ['audit', '-f', folder.path, '--config', config, '--output', 'json'], io);
  return (JSON.parse(io.stdout) as { findings: Finding[] }).findings;
}

const keyOf = ({ kind, namespace, name, secret }: Omit<Finding, 'origin' | 'covered'>) =>
  `${kind} ${namespace}/${name} ${secret}`;

/** An inherited finding is its account's entry once more, seen from a pod. */
async function expectOnlyKept(folder: Folder, ...words: string[]): Promise<void> {
  const { kept } = await folder.result('--write', ...words);
  const staying = new Set(kept.map(keyOf));
  const inheritable = new Set(
    kept.filter(({ kind }) => kind === 'ServiceAccount').map(({ secret }) => secret),
  );

  for (const finding of await audit(folder)) {
    if (finding.origin === 'inherited') expect(inheritable).toContain(finding.secret);
    else expect(staying).toContain(keyOf(finding));
  }
  expect((await folder.result(...words)).summary.changes).toBe(0);
}

test('examples/migration: all that audit still finds is the partner', async () => {
  using folder = createFolder({}, readFileSync('examples/migration/config.yaml', 'utf8'));
  cpSync('examples/migration/manifests', folder.path, { recursive: true });
  const role = 'arn:aws:iam::111122223333:role/pull-shop-report';

  expect((await audit(folder)).length).toBeGreaterThan(3);
  await expectOnlyKept(folder, '--set', `shop/report:role-arn=${role}`);

  expect((await audit(folder)).map(({ secret }) => secret)).toEqual(['partner-login']);
});

test('any folder: what is migrated is no finding, what is a finding was said to stay', async () => {
  const images = fc.uniqueArray(fc.constantFrom(`${HOST}/a:1`, `${HOST}/b:1`, 'nginx:1', 'ghcr.io/a/b:1'), {
    minLength: 1,
    maxLength: 3,
  });
  const secrets = fc.uniqueArray(fc.constantFrom('nexus', 'other', 'third'), { maxLength: 3 });
  const pods = fc.array(fc.tuple(images, secrets), { minLength: 1, maxLength: 4 });

  await fc.assert(
    fc.asyncProperty(pods, secrets, fc.boolean(), async (given, inherited, isPublic) => {
      const texts = given.map(([of, named], at) => {
        const text = pod(`p${at}`, of, named);
        return named.length === 0 ? text.replace('  imagePullSecrets:\n', '') : text;
      });
      using folder = createFolder({
        'a.yaml': [NAMESPACE, account('web', { secrets: inherited }), ...texts].join('---\n'),
      });

      await expectOnlyKept(folder, ...(isPublic ? ['--public', 'docker.io'] : []));
    }),
    { numRuns: 40 },
  );
});
