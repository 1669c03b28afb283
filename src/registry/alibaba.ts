// Alibaba Cloud Container Registry, Enterprise edition: a role assumed with the ServiceAccount token, then a login of one
// instance, signed with the role's keys. After aliyun/credentials-nodejs and mozillazg/docker-credential-acr-helper.
import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { fieldsOf } from '../core/fields.ts';
import { partsBy } from '../core/registry-family.ts';
import { instant, signAcs3 } from './alibaba-signature.ts';
import { sessionNameFor } from './aws-sts.ts';
import { member, type FailureClass, type Refusal } from './refusal.ts';
import { InstantAnswer, SecretAnswer } from './secret-answer.ts';
import type { RegistryFamily } from './registry-family.ts';

const throttling: Readonly<Record<string, FailureClass>> = {
  'Throttling.User': 'throttled',
  'Throttling.Api': 'throttled',
  Throttling: 'throttled',
  SystemError: 'transient',
  // The first try was taken and its answer lost. The next attempt has another nonce.
  SignatureNonceUsed: 'transient',
  ServiceUnavailable: 'transient',
};

const refusal: Refusal = {
  codeOf: (body) => member(body, 'Code'),
  isNo: (body) => fieldsOf(body)['IsSuccess'] === false,
  classes: {
    ...throttling,
    'AuthenticationFail.OIDCToken.Expired': 'stale',
    'InvalidTimeStamp.Expired': 'stale',
    'InvalidSecurityToken.Expired': 'stale',
    'AuthenticationFail.NoPermission': 'propagation',
    NoPermission: 'propagation',
  },
  cures: {
    'AuthenticationFail.NoPermission':
      "the role's trust policy must allow the subject and audience of this account",
    NoPermission: "the role's trust policy must allow the subject and audience of this account",
    NoPrivilege: 'the role needs cr:GetAuthorizationToken on the instance',
  },
};

const arn = (means: string, kind: string) => ({
  means,
  pattern: new RegExp(`^acs:ram::[0-9]{1,32}:${kind}/[A-Za-z0-9._-]{1,128}$`),
  looksLike: `acs:ram::ACCOUNT:${kind}/NAME`,
  isRequired: true,
});

const Session = z.object({
  Credentials: z.object({
    AccessKeyId: z.string().regex(/^[\w.]{8,128}$/),
    AccessKeySecret: SecretAnswer,
    SecurityToken: SecretAnswer,
    // A login ends with the session that it was signed for.
    Expiration: InstantAnswer.optional(),
  }),
});
const Authorization = z.object({
  TempUsername: z.string(),
  AuthorizationToken: SecretAnswer,
  ExpireTime: z.number().positive(),
});

export const alibaba: RegistryFamily = {
  hosts: {
    patterns: ['*.*.cr.aliyuncs.com'],
    partsOf: partsBy(
      /^(?<registry>[a-z0-9](?:[a-z0-9-]{1,60}[a-z0-9])?)-registry(?:-vpc)?\.(?<region>[a-z]{2}(?:-[a-z0-9]+){1,3})\.cr\.aliyuncs\.com$/,
    ),
    registries: 'instance names',
  },
  parameters: {
    'role-arn': { ...arn('the RAM role that the account assumes', 'role'), isPrincipal: true },
    'oidc-provider-arn': arn("the RAM OIDC provider of this cluster's issuer", 'oidc-provider'),
    'instance-id': {
      means: 'the id of the instance',
      pattern: /^cri-[a-z0-9]{8,32}$/,
      looksLike: 'cri-…',
      isRequired: true,
    },
  },
  endpoints: ['sts', 'api'],
  receiver: 'alibaba',
  tokenSeconds: 600,
  longestLife: 12 * 3600,
  async exchange({ token, need, parts, parameters, url, now, ask }) {
    const { region = '' } = parts;
    const { data: session } = await ask({
      url: url('sts', `https://sts.${region}.aliyuncs.com`, '/'),
      form: {
        Action: 'AssumeRoleWithOIDC',
        Version: '2015-04-01',
        Format: 'JSON',
        Timestamp: instant(now()),
        SignatureNonce: randomUUID(),
        OIDCProviderArn: parameters['oidc-provider-arn'],
        OIDCToken: token,
        RoleArn: parameters['role-arn'],
        RoleSessionName: sessionNameFor(need),
      },
      answer: Session,
      refusal,
    });
    const api = url('api', `https://cr.${region}.aliyuncs.com`, '/');
    api.searchParams.set('InstanceId', parameters['instance-id'] ?? '');
    const { data } = await ask({
      url: api,
      method: 'POST',
      sign: async () =>
        signAcs3({
          url: api,
          action: 'GetAuthorizationToken',
          version: '2018-12-01',
          keys: session.Credentials,
          at: now(),
          nonce: randomUUID(),
        }),
      answer: Authorization,
      refusal,
    });
    const { Expiration = data.ExpireTime } = session.Credentials;
    return {
      username: data.TempUsername,
      password: data.AuthorizationToken,
      expiresAt: [data.ExpireTime, Expiration],
    };
  },
};
