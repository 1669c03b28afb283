// Alibaba Cloud's side: the cluster as RAM OIDC provider, and a role for the account that may pull from one instance.
// https://www.alibabacloud.com/help/en/ram/user-guide/create-a-ram-role-for-a-trusted-idp
import { shellJson, shellQuoted, shellValue, shellVariable } from './quoting.ts';
import { isChosen, nameFor, type FamilyTrust, type Trust } from './trust.ts';

export const alibabaTrust: FamilyTrust = {
  forms: { commands },
  fetcher: 'Alibaba Cloud STS',
  choose: {
    'role-arn': (whom) => ({
      value: `acs:ram::0:role/${nameFor(whom)}`,
      told: 'role name chosen; 0 stands for the number of your account',
    }),
    'oidc-provider-arn': () => ({
      value: 'acs:ram::0:oidc-provider/keyless-pull',
      told: 'provider name chosen; 0 stands for the number of your account',
    }),
    'instance-id': ({ parts }) => ({
      value: 'cri-00000000',
      told: `the id of the instance ${parts['registry']}: aliyun cr ListInstance`,
    }),
  },
  notes: () => [
    'of the instance editions, only Enterprise knows this exchange',
    'narrow the policy to the repositories that this account should pull',
  ],
};

/** The part behind the last slash of an `acs:ram::…` name. */
function nameOf(arn: string | undefined): string {
  return arn?.split('/').at(-1) ?? '';
}

function commands(trust: Trust): string {
  const { issuer, audience, subject, parts, principals } = trust;
  const [first = {}] = principals;
  const provider = nameOf(first['oidc-provider-arn']);
  const assume = {
    Version: '1',
    Statement: [
      {
        Effect: 'Allow',
        Action: 'sts:AssumeRole',
        Principal: { Federated: [shellValue('PROVIDER')] },
        Condition: { StringEquals: { 'oidc:iss': [issuer], 'oidc:aud': [audience], 'oidc:sub': [subject] } },
      },
    ],
  };
  const pull = {
    Version: '1',
    Statement: [
      { Effect: 'Allow', Action: ['cr:GetAuthorizationToken'], Resource: ['*'] },
      { Effect: 'Allow', Action: ['cr:PullRepository'], Resource: [repositoriesOf(trust)] },
    ],
  };
  const roles = principals.map((principal) => {
    const role = shellQuoted(nameOf(principal['role-arn']));
    return `
aliyun ram CreateRole --RoleName ${role} \\
  --AssumeRolePolicyDocument ${shellJson(assume)}
aliyun ram CreatePolicy --PolicyName ${role} \\
  --PolicyDocument ${shellJson(pull)}
aliyun ram AttachPolicyToRole --PolicyType Custom --PolicyName ${role} --RoleName ${role}
`;
  });
  const instances = `
# For the annotation instance-id of the account:
aliyun cr ListInstance --region ${shellQuoted(parts['region'] ?? '')} --InstanceName ${shellQuoted(parts['registry'] ?? '')}
`;
  return `${shellVariable('ACCOUNT', 'number of the Alibaba Cloud account')}${shellVariable('FINGERPRINT', 'SHA-1 fingerprint of the CA certificate at the issuer')}
# One for each account and issuer: where it exists, leave this away and add the audience with AddClientIdToOIDCProvider.
aliyun ims CreateOIDCProvider --OIDCProviderName ${shellQuoted(provider)} \\
  --IssuerUrl ${shellQuoted(issuer)} \\
  --ClientIds ${shellQuoted(audience)} --Fingerprints "$FINGERPRINT"
PROVIDER="acs:ram::$ACCOUNT:oidc-provider/"${shellQuoted(provider)}
${roles.join('')}${isChosen(trust, 'instance-id') ? instances : ''}`;
}

function repositoriesOf(trust: Trust): string {
  const instance = isChosen(trust, 'instance-id') ? '*' : trust.principals[0]?.['instance-id'];
  return `acs:cr:${trust.parts['region']}:*:repository/${instance}/*`;
}
