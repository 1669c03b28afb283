// Cloudsmith: a service account that trusts this cluster (OpenID Connect provider settings). After
// cloudsmith-io/cloudsmith-kubernetes-credential-provider.
import * as z from 'zod';
import { SecretAnswer } from './secret-answer.ts';
import { path, type RegistryFamily } from './registry-family.ts';

const SLUG = { pattern: /^[a-z0-9][a-z0-9-]{0,127}$/i, looksLike: 'a slug: letters, digits and "-"' };

export const cloudsmith: RegistryFamily = {
  parameters: {
    organization: {
      ...SLUG,
      means: "the organization's slug",
      isRequired: true,
      foreign: ['cloudsmith.io/org-slug'],
    },
    service: {
      ...SLUG,
      means: "the service account's slug",
      isRequired: true,
      isPrincipal: true,
      foreign: ['cloudsmith.io/service-slug'],
    },
  },
  endpoints: ['api'],
  receiver: 'cloudsmith',
  tokenSeconds: 600,
  longestLife: 24 * 3600,
  async exchange({ token, parameters, url, ask }) {
    const { organization = '', service = '' } = parameters;
    const { data } = await ask({
      url: url('api', 'https://api.cloudsmith.io', path`/openid/${organization}/`),
      json: { oidc_token: token, service_slug: service },
      answer: z.object({ token: SecretAnswer }),
      refusal: {
        codeOf: () => '',
        cures: {
          '': `the provider settings of ${organization} must name this cluster's issuer and the claims of this account, and be linked to ${service}`,
        },
      },
    });
    return { username: 'token', password: data.token, expiresAt: [] };
  },
};
