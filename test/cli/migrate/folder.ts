// A folder of manifests that lives for one test, and migrate run in it.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';
import type { MigrateResult } from '../../../src/cli/migrate.ts';

export const HOST = 'registry.team.example';
export const ECR = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';
export const CONFIG = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry
    hosts: [${HOST}]
    audience: https://${HOST}
    exchange: { kind: pass-through }
  - name: ecr
    hosts: ["*.dkr.ecr.*.amazonaws.com"]
    registries: ["111122223333"]
    audience: pull.team.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation, accept: [eks.amazonaws.com/ecr-role-arn] } }
  - name: prod
    hosts: [prod.team.example]
    audience: https://prod.team.example
    exchange: { kind: pass-through }
    subjects: [{ namespaceSelector: { matchLabels: { tier: prod } } }]
`;

export interface Folder extends Disposable {
  readonly path: string;
  write(files: Readonly<Record<string, string>>): void;
  read(file: string): string;
  /** `migrate -f <the folder> --config …`, and these words. */
  migrate(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  result(...words: string[]): Promise<MigrateResult>;
}

export function createFolder(files: Readonly<Record<string, string>> = {}, config = CONFIG): Folder {
  const base = mkdtempSync(join(tmpdir(), 'migrate-'));
  const path = join(base, 'deploy');
  mkdirSync(path);
  writeFileSync(join(base, 'config.yaml'), config);
  const folder: Folder = {
    path,
    write(more) {
      for (const [name, text] of Object.entries(more)) {
        mkdirSync(dirname(join(path, name)), { recursive: true });
        writeFileSync(join(path, name), text);
      }
    },
    read: (file) => readFileSync(join(path, file), 'utf8'),
    async migrate(...words) {
      const io = createPrinted();
      const all = ['migrate', '-f', path, '--config', join(base, 'config.yaml'), ...words];
      const code = await runProgram('keyless-pull', all, io);
      return { code, stdout: io.stdout, stderr: io.stderr };
    },
    async result(...words) {
      const { stdout } = await folder.migrate('--output', 'json', ...words);
      return JSON.parse(stdout) as MigrateResult;
    },
    [Symbol.dispose]: () => rmSync(base, { recursive: true }),
  };
  folder.write(files);
  return folder;
}

export const NAMESPACE = `apiVersion: v1
kind: Namespace
metadata:
  name: shop
`;

export function account(name: string, { secrets = [] as string[], annotations = {} } = {}): string {
  return `apiVersion: v1
kind: ServiceAccount
metadata:
  name: ${name}
  namespace: shop
  annotations: ${JSON.stringify(annotations)}
imagePullSecrets: ${JSON.stringify(secrets.map((secret) => ({ name: secret })))}
`;
}

export function pod(name: string, images: readonly string[], secrets: readonly string[], more = ''): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
spec:
  serviceAccountName: web
${more}  imagePullSecrets:
${secrets.map((secret) => `    - name: ${secret}\n`).join('')}  containers:
${images.map((image, at) => `    - { name: c${at}, image: "${image}" }\n`).join('')}`;
}

/** Of type kubernetes.io/dockerconfigjson. */
export function secret(name: string, ...keys: string[]): string {
  const auths = Object.fromEntries(keys.map((key) => [key, { auth: 'dTpw' }]));
  const data = Buffer.from(JSON.stringify({ auths })).toString('base64');
  return `apiVersion: v1
kind: Secret
type: kubernetes.io/dockerconfigjson
metadata: { name: ${name}, namespace: shop }
data: { .dockerconfigjson: ${data} }
`;
}
