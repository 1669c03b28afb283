// A kubeconfig for a stub API server.
import { stringify } from 'yaml';
import type { StubApiServer } from '../cluster-edge/stub-api-server.ts';

/** Returns its path. */
export function writeKubeconfig(
  stub: StubApiServer,
  { namespace = 'shop', proxy = '' }: { namespace?: string; proxy?: string } = {},
): string {
  const authority = Buffer.from(stub.certificateAuthority).toString('base64');
  return stub.write(
    'kubeconfig',
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'stub',
      clusters: [
        {
          name: 'stub',
          cluster: {
            server: stub.url,
            'certificate-authority-data': authority,
            ...(proxy && { 'proxy-url': proxy }),
          },
        },
      ],
      users: [{ name: 'stub', user: { token: 'stub' } }],
      contexts: [{ name: 'stub', context: { cluster: 'stub', user: 'stub', namespace } }],
    }),
  );
}
