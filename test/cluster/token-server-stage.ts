// A token server of ours that trusts a real API server, in the test's own process, with certificates of the test's authority.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { runTokenServer } from '../../src/cli/token-server.ts';
import { systemClock } from '../../src/clock.ts';
import { createLog } from '../../src/log.ts';
import type { CertificateAuthority } from '../../tools/certificates.ts';
import type { ControlPlane } from '../../tools/control-plane.ts';

/** What the registry and the token server call each other. */
export const REGISTRY_SERVICE = 'pull-test';
export const REGISTRY_TOKEN_ISSUER = 'keyless-pull';

export interface TokenServerChoice {
  readonly controlPlane: ControlPlane;
  readonly authority: CertificateAuthority;
  readonly audience: string;
  readonly port: number;
  /** Trusted in place of the control plane. */
  readonly issuer?: { readonly url: string; readonly certificateAuthorityPem: string };
  readonly clock?: typeof systemClock;
}

export async function startTokenServer({
  controlPlane,
  authority,
  audience,
  port,
  issuer,
  clock = systemClock,
}: TokenServerChoice) {
  const file = (name: string, text: string) => {
    const path = join(controlPlane.folder, name);
    writeFileSync(path, text);
    return path;
  };
  const serving = await authority.issue(['localhost', '127.0.0.1']);
  const signing = await authority.issue(['registry-tokens']);
  const config = {
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: REGISTRY_SERVICE, issuer: REGISTRY_TOKEN_ISSUER },
    signing: {
      keys: [
        {
          keyFile: file(`sign-${port}.key`, signing.key),
          certificateFile: file(`sign-${port}.crt`, signing.certificate),
        },
      ],
    },
    listen: { host: '127.0.0.1', port },
    tls: {
      certificateFile: file(`token-${port}.crt`, serving.certificate),
      keyFile: file(`token-${port}.key`, serving.key),
    },
    issuers: [
      issuer
        ? {
            issuer: issuer.url,
            audience,
            certificateAuthorityFile: file('other-ca.crt', issuer.certificateAuthorityPem),
          }
        : {
            issuer: controlPlane.issuer,
            audience,
            certificateAuthorityFile: controlPlane.certificateAuthorityFile,
            bearerFile: file('bearer', controlPlane.tokens['admin'] ?? ''),
          },
    ],
    access: [
      { namespaces: ['*'], repositories: ['{namespace}/**'], actions: ['pull'] },
      { namespaces: ['builds'], repositories: ['shop/**'], actions: ['pull', 'push'] },
    ],
  };
  return runTokenServer(
    { config: file(`token-server-${port}.yaml`, stringify(config)) },
    { clock, log: createLog('silent') },
  );
}
