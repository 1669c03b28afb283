// The API server as far as our certificate goes: one Secret and two webhook configurations, with versions and conflicts. Any
// number of clients share it, and each may die between any two calls.
import { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import type {
  CertificateStore,
  ServingSecret,
  ServingTexts,
  WebhookTrust,
} from '../../src/cluster/certificate-store.ts';
import type { CallOptions } from '../../src/cluster/cluster.ts';

export type StoreCall = 'read secret' | 'write secret' | 'read trust' | 'write trust';

export interface FakeStore {
  secret: (ServingTexts & { readonly version: number }) | undefined;
  readonly trusts: { caBundles: readonly string[]; version: number }[];
  readonly calls: { readonly client: string; readonly call: StoreCall }[];
  /** What a person does with kubectl. */
  edit(texts: Partial<ServingTexts>): void;
  client(name: string): CertificateStore;
  /** Before a call is done; what it throws, the client gets. */
  before: (client: string, call: StoreCall) => void | Promise<void>;
  /** After every write. */
  afterWrite: () => void;
}

const EMPTY: ServingTexts = { caBundle: '', certificate: '', key: new SecretText('') };

export function createFakeStore(): FakeStore {
  let version = 0;
  const store: FakeStore = {
    secret: { ...EMPTY, version },
    trusts: [
      { caBundles: [''], version },
      { caBundles: ['', ''], version },
    ],
    calls: [],
    edit(texts) {
      store.secret = { ...EMPTY, ...store.secret, ...texts, version: ++version };
      store.afterWrite();
    },
    before: () => undefined,
    afterWrite: () => undefined,
    client(name) {
      async function begin(call: StoreCall, { signal, mayStill }: CallOptions): Promise<void> {
        await store.before(name, call);
        if (signal.aborted) throw new Problem('deadline', 'too late');
        mayStill?.();
        store.calls.push({ client: name, call });
      }
      const conflict = () => new Problem('cluster-conflict', 'somebody else wrote');
      const view = (read: NonNullable<FakeStore['secret']>): ServingSecret => ({
        ...read,
        async change(texts, options) {
          await begin('write secret', options);
          if (store.secret?.version !== read.version) throw conflict();
          store.secret = { ...store.secret, ...texts, version: ++version };
          const written = store.secret;
          store.afterWrite();
          return view(written);
        },
      });
      return {
        async servingSecret(_name, options) {
          await begin('read secret', options);
          if (!store.secret) throw new Problem('certificate-missing', 'the Secret does not exist');
          return view(store.secret);
        },
        async webhookTrusts(_name, options) {
          await begin('read trust', options);
          return store.trusts.map((trust): WebhookTrust => {
            const read = { ...trust };
            return {
              caBundles: read.caBundles,
              async change(caBundle, of) {
                await begin('write trust', of);
                if (trust.version !== read.version) throw conflict();
                trust.caBundles = trust.caBundles.map(() => caBundle);
                trust.version = ++version;
                store.afterWrite();
              },
            };
          });
        },
      };
    },
  };
  return store;
}
