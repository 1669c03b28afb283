// The few calls we make, verb by verb: paths, bodies and answers. Secrets are created and updated, never read.
import { SecretText } from '../secret-text.ts';
import { Problem, isProblem } from '../problem.ts';
import { fieldsOf, instantOf, textOf } from '../core/fields.ts';
import { viewAccount, viewNamespace } from '../core/pod-view.ts';
import {
  recordManifest,
  statusManifest,
  viewRecord,
  type PullCredentialRecord,
} from '../core/pull-credential-record.ts';
import { API_GROUP, RECORD_PLURAL } from '../core/vocabulary.ts';
import { createEventWriter } from './kube-events.ts';
import { createLeaseCalls } from './kube-leases.ts';
import { findSigningKeys, keyIdOf } from './kube-signing-keys.ts';
import { createPodCalls } from './kube-pods.ts';
import { tryFences } from './kube-fences.ts';
import { findOne, pathTo, type KubeCall, type KubeConnection } from './kube-connection.ts';
import { isAnotherObject } from './kube-problem.ts';
import { claimsOf } from './token-parts.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { CallOptions, Cluster } from './cluster.ts';
import type { KubeView } from './kube-view.ts';

export interface KubeCallTools {
  readonly connection: KubeConnection;
  readonly view: KubeView;
  /** Our own namespace. */
  readonly namespace: string;
  /** What no token may be asked for: it would be the account itself, handed to a registry. */
  readonly ownAudiences: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

export function createKubeCalls(tools: KubeCallTools): Omit<Cluster, 'view'> {
  const { connection, view, ownAudiences, clock } = tools;
  const records = (of: string) => pathTo`/apis/${API_GROUP}/v1alpha1/namespaces/${of}/${RECORD_PLURAL}`;

  async function lookAtRecord(
    { namespace: of, name }: PullCredentialRecord,
    { signal }: CallOptions,
  ): Promise<void> {
    const found = await findOne(connection, records(of), name, signal, 'ordinary').catch(() => undefined);
    if (found !== undefined) view.putRecord(viewRecord(found));
  }

  return {
    async findAccount(of, name, { signal }) {
      const found = await findOne(connection, pathTo`/api/v1/namespaces/${of}/serviceaccounts`, name, signal);
      return found === undefined ? undefined : viewAccount(found);
    },

    async findNamespace(name, { signal }) {
      const found = await findOne(connection, '/api/v1/namespaces', name, signal);
      return found === undefined ? undefined : viewNamespace(found);
    },

    async mintToken({ need, audience, expirationSeconds, secretUid }, options) {
      const { namespace: of, account, uid } = need.identity;
      if (audience === '' || ownAudiences.includes(audience)) {
        throw new Problem('token-refused', `audience ${JSON.stringify(audience)} is the API server's own`);
      }
      const issuedAt = clock.now();
      const answer = await connection.call({
        ...options,
        method: 'POST',
        path: pathTo`/api/v1/namespaces/${of}/serviceaccounts/${account}/token`,
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          metadata: { uid },
          spec: {
            audiences: [audience],
            expirationSeconds,
            boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: need.secretName, uid: secretUid },
          },
        },
      });
      const status = fieldsOf(fieldsOf(answer)['status']);
      const token = textOf(status['token']);
      const claims = claimsOf(token);
      // Before Kubernetes 1.34 the API server ignores the uid of the request, so the token itself must say whose it is.
      if (fieldsOf(fieldsOf(claims['kubernetes.io'])['serviceaccount'])['uid'] !== uid) {
        throw new Problem('cluster-conflict', `ServiceAccount ${of}/${account} was recreated meanwhile`);
      }
      return {
        token: new SecretText(token),
        tokenId: textOf(claims['jti']),
        keyId: keyIdOf(token),
        issuedAt,
        expiresAt: instantOf(status['expirationTimestamp']),
      };
    },

    findSigningKeys: (options) => findSigningKeys(connection, options),

    async createRecord(need, options) {
      const path = records(need.identity.namespace);
      const record = viewRecord(
        await connection.call({ ...options, method: 'POST', path, body: recordManifest(need) }),
      );
      view.putRecord(record);
      return record;
    },

    async updateRecordStatus(record, status, options) {
      const { namespace: of, name, uid, resourceVersion, account, accountUid } = record;
      const identity = { namespace: of, account, uid: accountUid };
      const call: KubeCall = {
        ...options,
        method: 'PUT',
        path: `${records(of)}${pathTo`/${name}/status`}`,
        body: {
          ...recordManifest({ ...record, identity, digest: status.digest }),
          metadata: { namespace: of, name, uid, resourceVersion },
          status: statusManifest(status),
        },
      };
      const answer = await connection.call(call).catch(async (error: unknown) => {
        // Who tries again must not wait for a watch that is half open: it would mint a token for nothing.
        if (isProblem(error, 'cluster-conflict')) await lookAtRecord(record, options);
        throw error;
      });
      const updated = viewRecord(answer);
      view.putRecord(updated);
      return updated;
    },

    async deleteRecord(record, options) {
      const path = `${records(record.namespace)}${pathTo`/${record.name}`}`;
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: record.uid } };
      await connection.call({ ...options, method: 'DELETE', path, body });
    },

    async createSecret(manifest, options) {
      const path = pathTo`/api/v1/namespaces/${manifest.metadata.namespace}/secrets`;
      return uidOf(await connection.call({ ...options, method: 'POST', path, body: manifest }));
    },

    async updateSecret(manifest, { dryRun = false, ...options }) {
      const { namespace: of, name } = manifest.metadata;
      const path = pathTo`/api/v1/namespaces/${of}/secrets/${name}`;
      const query = dryRun ? { query: { dryRun: 'All' } } : {};
      try {
        return uidOf(await connection.call({ ...options, ...query, method: 'PUT', path, body: manifest }));
      } catch (error) {
        if (isAnotherObject(error)) {
          throw new Problem('secret-not-ours', `Secret ${of}/${name} exists and is not ours`, {
            cause: error,
            details: error.details,
          });
        }
        throw error;
      }
    },

    emit: createEventWriter(tools),

    ...createLeaseCalls(tools),

    ...createPodCalls(tools),

    tryFences: (options) => tryFences(tools, options),
  };
}

function uidOf(raw: unknown): { uid: string } {
  return { uid: textOf(fieldsOf(fieldsOf(raw)['metadata'])['uid']) };
}
