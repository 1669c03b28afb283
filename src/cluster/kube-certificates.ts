// Our certificate's Secret and the caBundle of our webhooks, on a real API server: read by name, written as read.
import { isProblem, Problem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import { fieldsOf, listOf, textOf, type Fields } from '../core/fields.ts';
import { API_GROUP } from '../core/vocabulary.ts';
import { pathTo, type KubeCall, type KubeConnection } from './kube-connection.ts';
import type { CertificateStore, ServingSecret, ServingTexts, WebhookTrust } from './certificate-store.ts';

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1';
const KINDS = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'];

export function createCertificateStore(connection: KubeConnection, namespace: string): CertificateStore {
  // Nothing here may wait behind a thousand pods: while a caBundle is wrong, none of them is admitted.
  const call = (wish: KubeCall) => connection.call({ ...wish, priority: 'urgent' });

  function viewSecret(path: string, raw: Fields): ServingSecret {
    const data = fieldsOf(raw['data']);
    return {
      caBundle: fromBase64(data['ca.crt']),
      certificate: fromBase64(data['tls.crt']),
      key: new SecretText(fromBase64(data['tls.key'])),
      async change(texts, options) {
        const body = { ...raw, data: { ...data, ...dataOf(texts) } };
        return viewSecret(path, fieldsOf(await call({ ...options, method: 'PUT', path, body })));
      },
    };
  }

  function viewTrust(path: string, raw: Fields): WebhookTrust {
    const hooks = listOf(raw['webhooks']);
    return {
      caBundles: hooks.filter(isOurs).map((hook) => fromBase64(fieldsOf(hook['clientConfig'])['caBundle'])),
      async change(text, options) {
        const caBundle = Buffer.from(text).toString('base64');
        const webhooks = hooks.map((hook) =>
          isOurs(hook) ? { ...hook, clientConfig: { ...fieldsOf(hook['clientConfig']), caBundle } } : hook,
        );
        await call({ ...options, method: 'PUT', path, body: { ...raw, webhooks } });
      },
    };
  }

  return {
    async servingSecret(name, options) {
      const path = pathTo`/api/v1/namespaces/${namespace}/secrets/${name}`;
      const found = await call({ ...options, method: 'GET', path }).catch((error: unknown) => {
        if (!isProblem(error, 'cluster-missing')) throw error;
        throw new Problem(
          'certificate-missing',
          `the Secret ${namespace}/${name} does not exist: apply the manifests again, they create it empty`,
          { cause: error },
        );
      });
      return viewSecret(path, fieldsOf(found));
    },
    async webhookTrusts(name, options) {
      const found = KINDS.map(async (kind) => {
        const path = `${WEBHOOKS}/${kind}${pathTo`/${name}`}`;
        const raw = await call({ ...options, method: 'GET', path }).catch((error: unknown) => {
          // Deleted, as the last resort says, or there is only one of the two.
          if (isProblem(error, 'cluster-missing')) return undefined;
          throw error;
        });
        return raw === undefined ? [] : [viewTrust(path, fieldsOf(raw))];
      });
      return (await Promise.all(found)).flat();
    },
  };
}

/** Others may have put webhooks of theirs beside ours. */
function isOurs(hook: Fields): boolean {
  return textOf(hook['name']).endsWith(`.${API_GROUP}`);
}

function dataOf({ caBundle, certificate, key }: Partial<ServingTexts>): Record<string, string> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return {
    ...(caBundle !== undefined && { 'ca.crt': base64(caBundle) }),
    ...(certificate !== undefined && { 'tls.crt': base64(certificate) }),
    ...(key !== undefined && { 'tls.key': base64(key.reveal()) }),
  };
}

function fromBase64(value: unknown): string {
  return Buffer.from(textOf(value), 'base64').toString('utf8');
}
