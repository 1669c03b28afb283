// The files and flags with which etcd, kube-apiserver, kube-controller-manager and kube-scheduler start on one machine.
import { generateKeyPair, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AUDIT_POLICY } from './audit-log.ts';
import { createCertificateAuthority } from './certificates.ts';

/** Somebody the API server knows by a fixed token. */
export interface StaticIdentity {
  /** What tests call it: the key in `tokens`. */
  readonly name: string;
  readonly user: string;
  readonly groups: readonly string[];
}

/** The identities every control plane has; `node-a` is a kubelet as the Node authorizer knows one. */
export const STANDARD_IDENTITIES: readonly StaticIdentity[] = [
  { name: 'admin', user: 'admin', groups: ['system:masters'] },
  { name: 'node-a', user: 'system:node:node-a', groups: ['system:nodes'] },
  { name: 'kube-controller-manager', user: 'system:kube-controller-manager', groups: [] },
  { name: 'kube-scheduler', user: 'system:kube-scheduler', groups: [] },
];

/** The audience of the API server's own tokens. */
export const API_AUDIENCE = 'https://kubernetes.default.svc';

const ACCOUNT_KEY_FILE = 'accounts-key.pem';
const ACCOUNT_PUBLIC_KEY_FILE = 'accounts.pem';

/** The private key with which the ServiceAccount tokens of the control plane in `folder` are signed (PEM, RSA). */
export function accountKeyFile(folder: string): string {
  return join(folder, ACCOUNT_KEY_FILE);
}

/** A new key in its place, of which an API server knows once it is started again. The old one is accepted and published beside it, or not. */
export async function replaceAccountKey(folder: string, { keepOld }: { keepOld: boolean }): Promise<void> {
  const { privateKey, publicKey } = await makeAccountKey();
  const file = join(folder, ACCOUNT_PUBLIC_KEY_FILE);
  const before = keepOld ? readFileSync(file, 'utf8') : '';
  writeFileSync(file, publicKey + before, { mode: 0o600 });
  writeFileSync(accountKeyFile(folder), privateKey, { mode: 0o600 });
}

async function makeAccountKey(): Promise<{ privateKey: string; publicKey: string }> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return {
    privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
  };
}

/** The files a control plane reads, all in its run folder, and the token of each static identity by its name. */
export interface ControlPlaneFiles {
  readonly folder: string;
  readonly certificateAuthorityFile: string;
  readonly certificateFile: string;
  readonly certificateKeyFile: string;
  readonly accountKeyFile: string;
  readonly accountPublicKeyFile: string;
  readonly tokenFile: string;
  readonly auditPolicyFile: string;
  readonly tokens: Readonly<Record<string, string>>;
}

/** Makes keys, certificates (for 127.0.0.1 and localhost) and tokens, and writes them into `folder`. */
export async function writeControlPlaneFiles(
  folder: string,
  identities: readonly StaticIdentity[],
): Promise<ControlPlaneFiles> {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const authority = await createCertificateAuthority('keyless-pull control plane');
  const server = await authority.issue(['127.0.0.1', 'localhost', 'kubernetes.default.svc']);
  const accountKey = await makeAccountKey();
  const tokens = Object.fromEntries(identities.map(({ name }) => [name, randomBytes(24).toString('hex')]));
  // https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
  const tokenLines = identities.map(
    ({ name, user, groups }) => `${tokens[name]},${user},${name},"${groups.join(',')}"\n`,
  );

  return {
    folder,
    certificateAuthorityFile: write('ca.pem', authority.certificate),
    certificateFile: write('server.pem', server.certificate),
    certificateKeyFile: write('server-key.pem', server.key),
    accountKeyFile: write(ACCOUNT_KEY_FILE, accountKey.privateKey),
    accountPublicKeyFile: write(ACCOUNT_PUBLIC_KEY_FILE, accountKey.publicKey),
    tokenFile: write('tokens.csv', tokenLines.join('')),
    auditPolicyFile: write('audit-policy.yaml', AUDIT_POLICY),
    tokens,
  };
}

/** etcd without waiting for the disk: its data end with the run. */
export function etcdFlags(folder: string, clientPort: number, peerPort: number): string[] {
  const [client, peer] = [`http://127.0.0.1:${clientPort}`, `http://127.0.0.1:${peerPort}`];
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

/** kube-apiserver on 127.0.0.1:`port`, itself the issuer of its accounts' tokens. */
export function apiServerFlags(
  files: ControlPlaneFiles,
  { port, etcdPort, auditLog }: { port: number; etcdPort: number; auditLog: string | undefined },
): string[] {
  const issuer = `https://127.0.0.1:${port}`;
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    // Found by itself only on machines with a route to the outside.
    '--advertise-address=127.0.0.1',
    // The endpoint of the "kubernetes" Service may not be a loopback address, so nobody shall try to write it.
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    `--tls-cert-file=${files.certificateFile}`,
    `--tls-private-key-file=${files.certificateKeyFile}`,
    `--token-auth-file=${files.tokenFile}`,
    `--service-account-issuer=${issuer}`,
    // Discovery would name the advertised address with port 6443 otherwise.
    `--service-account-jwks-uri=${issuer}/openid/v1/jwks`,
    `--service-account-signing-key-file=${files.accountKeyFile}`,
    `--service-account-key-file=${files.accountPublicKeyFile}`,
    `--api-audiences=${API_AUDIENCE}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    ...(auditLog === undefined
      ? []
      : [`--audit-policy-file=${files.auditPolicyFile}`, `--audit-log-path=${auditLog}`]),
  ];
}

/** kube-controller-manager with its default controllers, few workers each. */
export function controllerManagerFlags(files: {
  readonly kubeconfig: string;
  readonly certificateAuthorityFile: string;
  readonly accountKeyFile: string;
}): string[] {
  const fewWorkers = ['deployment', 'replicaset', 'gc', 'namespace', 'serviceaccount-token', 'endpoint'];
  return [
    `--kubeconfig=${files.kubeconfig}`,
    '--leader-elect=false',
    // Nobody asks it for health or metrics, and so it needs no port.
    '--secure-port=0',
    '--use-service-account-credentials',
    `--service-account-private-key-file=${files.accountKeyFile}`,
    `--root-ca-file=${files.certificateAuthorityFile}`,
    // Three dozen controllers fetch a token each at the start; the usual 20 requests a second would hold them up.
    '--kube-api-qps=200',
    '--kube-api-burst=400',
    ...fewWorkers.map((name) => `--concurrent-${name}-syncs=2`),
  ];
}

/** kube-scheduler with its default profile. */
export function schedulerFlags(kubeconfig: string): string[] {
  return [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
}
