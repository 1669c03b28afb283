// Quay's side: a robot account that trusts the account (robot federation), and may read a repository.
// After quay/quay endpoints/api/robot.py.
import { bearerCall, hclQuoted, hclVariable, shellJson, shellQuoted, shellVariable } from './quoting.ts';
import { numbered, type FamilyTrust, type Trust } from './trust.ts';

export const quayTrust: FamilyTrust = {
  forms: { terraform, commands },
  fetcher: 'Quay',
  choose: {
    robot: ({ namespace, account }) => ({
      value: `organization+keyless_pull_${`${namespace}_${account}`.replaceAll(/[^a-z0-9]/g, '_').slice(0, 200)}`,
      told: 'robot name chosen; organization stands for yours',
    }),
  },
  notes: () => [
    'Quay takes tokens that are signed RS256 or RS384, as clusters do unless they were told otherwise',
    'a Quay older than the middle of 2026 does not check the audience: any token of this account opens it, so keep the audience of the rule for Quay alone, and the account for pulls',
    'robot federation came with Quay 3.13; ROBOTS_DISALLOW must not be set',
  ],
};

const TOKEN_MEANS = 'OAuth token of an application that may administer the organization';
const REPOSITORY_MEANS = 'repository that the account should pull, without the organization';

/** Of each robot, where it is and where its right to a repository is, with that repository's name between the two. */
function robotsOf({ host, principals }: Trust) {
  return principals.map(({ robot = '' }) => {
    const [organization = '', name = ''] = robot.split('+').map(encodeURIComponent);
    return {
      url: `https://${host}/api/v1/organization/${organization}/robots/${name}`,
      repository: `https://${host}/api/v1/repository/${organization}/`,
      permission: `/permissions/user/${encodeURIComponent(robot)}`,
    };
  });
}

/** No provider has robot federation, so Terraform calls Quay's API; all that is somebody's text goes by the environment. */
function terraform(trust: Trust): string {
  const { issuer, audience, subject } = trust;
  const robots = robotsOf(trust).map(
    ({ url, repository, permission }, at) => `
resource "terraform_data" "robot${numbered(at)}" {
  triggers_replace = [local.federation, var.repository]

  provisioner "local-exec" {
    environment = {
      QUAY_TOKEN = var.quay_token
      ROBOT      = ${hclQuoted(url)}
      FEDERATION = local.federation
      PERMISSION = join("", [${hclQuoted(repository)}, var.repository, ${hclQuoted(permission)}])
    }
    command = local.federate
  }
}
`,
  );
  return `# Needs Terraform 1.4 or later, and curl where it runs: no provider has robot federation.

${hclVariable('quay_token', TOKEN_MEANS, 'sensitive')}${hclVariable('repository', REPOSITORY_MEANS)}locals {
  federation = jsonencode([{
    issuer    = ${hclQuoted(issuer)}
    subject   = ${hclQuoted(subject)}
    audiences = [${hclQuoted(audience)}]
  }])
  # The list takes the place of the one that is there.
  federate = <<-EOT
    set -eu
${indented(bearerCall('QUAY_TOKEN'))}
    call --output /dev/null "$ROBOT" 2>/dev/null || call --request PUT --json '{}' --output /dev/null "$ROBOT"
    call --json "$FEDERATION" --output /dev/null "$ROBOT/federation"
    call --request PUT --json '{"role": "read"}' --output /dev/null "$PERMISSION"
  EOT
}
${robots.join('')}`;
}

const indented = (text: string) => text.trimEnd().replaceAll(/^(?=.)/gm, '    ');

function commands(trust: Trust): string {
  const { issuer, audience, subject } = trust;
  const robots = robotsOf(trust).map(
    ({ url, repository, permission }) => `
call --output /dev/null ${shellQuoted(url)} 2>/dev/null || call --request PUT --json '{}' --output /dev/null ${shellQuoted(url)}
# The list takes the place of the one that is there: the same call without --json shows it.
call --json ${shellJson([{ issuer, subject, audiences: [audience] }])} ${shellQuoted(url)}/federation
call --request PUT --json '{"role": "read"}' ${shellQuoted(repository)}"$REPOSITORY"${shellQuoted(permission)}
`,
  );
  return `${shellVariable('QUAY_TOKEN', TOKEN_MEANS)}${shellVariable('REPOSITORY', REPOSITORY_MEANS)}
${bearerCall('QUAY_TOKEN')}${robots.join('')}`;
}
