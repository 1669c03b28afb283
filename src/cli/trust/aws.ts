// Amazon's side: the cluster as IAM OIDC provider, and a role for the account that may pull and nothing else.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html
import { hclQuoted, shellJson, shellQuoted, shellValue } from './quoting.ts';
import { nameFor, numbered, type FamilyTrust, type Trust, type Whom } from './trust.ts';

interface Statement {
  readonly Effect: 'Allow';
  readonly Action: readonly string[];
  readonly Resource: string;
}

type Rights = (trust: Trust) => readonly Statement[];

const privateRights: Rights = ({ parts }) => {
  const { partition = '', region = '', registry = '' } = parts;
  return [
    { Effect: 'Allow', Action: ['ecr:GetAuthorizationToken'], Resource: '*' },
    {
      Effect: 'Allow',
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchCheckLayerAvailability'],
      Resource: `arn:${partition}:ecr:${region}:${registry}:repository/*`,
    },
  ];
};

const publicRights: Rights = () => [
  {
    Effect: 'Allow',
    Action: ['ecr-public:GetAuthorizationToken', 'sts:GetServiceBearerToken'],
    Resource: '*',
  },
];

const choose = {
  'role-arn': (whom: Whom) => {
    const { partition = 'aws', registry = '000000000000' } = whom.parts;
    return {
      value: `arn:${partition}:iam::${registry}:role/${nameFor(whom)}`,
      told: whom.parts['registry']
        ? "role name chosen; the AWS account is the registry's own"
        : 'role name chosen; put in the number of your AWS account',
    };
  },
};

function faults({ issuer }: Trust): string[] {
  return new URL(issuer).port === ''
    ? []
    : ['AWS takes no issuer with a port: the cluster must be given another issuer'];
}

const shared = { choose, faults, fetcher: 'AWS STS' } as const;
const LIFE = "ECR's logins live 12 hours, open all that the role may pull, and cannot be revoked";

export const ecrTrust: FamilyTrust = {
  ...shared,
  forms: {
    terraform: (trust) => terraform(trust, privateRights),
    commands: (trust) => commands(trust, privateRights),
  },
  notes: ({ parts, principals }) => [
    'narrow repository/* to the repositories that this account should pull',
    LIFE,
    ...principals
      .map((principal) => principal['role-arn'] ?? '')
      .filter((arn) => arn.split(':')[4] !== parts['registry'])
      .map(
        (arn) =>
          `role ${arn} is in another AWS account than the registry: its repositories need a policy that lets the role pull`,
      ),
  ],
};

export const ecrPublicTrust: FamilyTrust = {
  ...shared,
  forms: {
    terraform: (trust) => terraform(trust, publicRights),
    commands: (trust) => commands(trust, publicRights),
  },
  notes: () => ['ECR Public can be pulled without a login too: this raises its rate limits', LIFE],
};

/** `arn:aws:iam::111122223333:role/path/name` */
function roleOf(principal: Readonly<Record<string, string>>): { name: string; path: string } {
  const steps = (principal['role-arn'] ?? '').split(':role/')[1]?.split('/') ?? [];
  return { name: steps.at(-1) ?? '', path: `/${steps.slice(0, -1).join('/')}/`.replace('//', '/') };
}

/** As IAM names the provider: the issuer without its scheme. */
function conditionsFor({ issuer, subject, audience }: Trust): Record<string, string> {
  const provider = issuer.slice('https://'.length);
  return { [`${provider}:sub`]: subject, [`${provider}:aud`]: audience };
}

function terraform(trust: Trust, rights: Rights): string {
  const { issuer, audience, principals } = trust;
  const conditions = Object.entries(conditionsFor(trust))
    .map(([key, value]) => `          ${hclQuoted(key)} = ${hclQuoted(value)}\n`)
    .join('');
  const statements = rights(trust)
    .map(
      ({ Action, Resource }) => `      {
        Effect   = "Allow"
        Action   = [${Action.map(hclQuoted).join(', ')}]
        Resource = ${hclQuoted(Resource)}
      },
`,
    )
    .join('');
  const roles = principals.map((principal, at) => {
    const { name, path } = roleOf(principal);
    return `
resource "aws_iam_role" "pull${numbered(at)}" {
  name = ${hclQuoted(name)}
  path = ${hclQuoted(path)}
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
${conditions}        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pull${numbered(at)}" {
  name = "keyless-pull"
  role = aws_iam_role.pull${numbered(at)}.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
${statements}    ]
  })
}

output "role_arn${numbered(at)}" {
  value = aws_iam_role.pull${numbered(at)}.arn
}
`;
  });
  return `# Needs the provider hashicorp/aws, 6.0 or later.

# One for each AWS account and issuer: import it where it exists, and append the audience.
resource "aws_iam_openid_connect_provider" "cluster" {
  url            = ${hclQuoted(issuer)}
  client_id_list = [${hclQuoted(audience)}]
}
${roles.join('')}`;
}

function commands(trust: Trust, rights: Rights): string {
  const { issuer, audience, principals } = trust;
  const assume = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: 'sts:AssumeRoleWithWebIdentity',
        Principal: { Federated: shellValue('PROVIDER') },
        Condition: { StringEquals: conditionsFor(trust) },
      },
    ],
  };
  const pull = { Version: '2012-10-17', Statement: rights(trust) };
  const roles = principals.map((principal) => {
    const { name, path } = roleOf(principal);
    return `
aws iam create-role --role-name ${shellQuoted(name)} --path ${shellQuoted(path)} \\
  --assume-role-policy-document ${shellJson(assume)}
aws iam put-role-policy --role-name ${shellQuoted(name)} --policy-name keyless-pull \\
  --policy-document ${shellJson(pull)}
`;
  });
  return `# One for each AWS account and issuer: where it exists, set PROVIDER to its ARN, and add the audience with
# aws iam add-client-id-to-open-id-connect-provider.
PROVIDER=\${PROVIDER:-$(aws iam create-open-id-connect-provider \\
  --url ${shellQuoted(issuer)} \\
  --client-id-list ${shellQuoted(audience)} \\
  --query OpenIDConnectProviderArn --output text)}
${roles.join('')}`;
}
