// What the checks of our own certificate share: a team whose pods go through the webhook, and the Secret with the certificate.
import { awakeNow } from '../awake-clock.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, TLS_SECRET, type ServiceArena } from './service-arena.ts';

export interface StoredSecret {
  readonly metadata: object;
  readonly type?: string;
  readonly data?: Record<string, string>;
}

/** Of namespace `team`, which must not be there yet. */
export async function addTeam({ must }: ServiceArena): Promise<void> {
  await must('POST', '/api/v1/namespaces', {
    metadata: { name: 'team', labels: { 'keyless-pull.dev/inject': 'enabled' } },
  });
  await must('POST', '/api/v1/namespaces/team/serviceaccounts', { metadata: { name: 'app' } });
}

export function createPod({ controlPlane }: ServiceArena, name: string) {
  return controlPlane.admin('POST', '/api/v1/namespaces/team/pods', {
    metadata: { name },
    spec: { serviceAccountName: 'app', containers: [{ name: 'app', image: `${HOST}/shop/web:1` }] },
  });
}

/** The one with our own certificate. */
export function readTlsSecret({ must }: ServiceArena): Promise<StoredSecret> {
  return must('GET', TLS_SECRET) as Promise<StoredSecret>;
}

/** Milliseconds until the check holds. */
export async function timed(what: string, check: () => Promise<boolean>): Promise<number> {
  const startedAt = awakeNow();
  await waitUntil(what, check, { deadlineMs: 30_000, everyMs: 50 });
  return awakeNow() - startedAt;
}
