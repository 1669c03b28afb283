// Quay's side: a robot account that trusts the account (robot federation), and may read a repository.
// After quay/quay endpoints/api/robot.py.
import { bearerCall, shellJson, shellQuoted, shellVariable } from './quoting.ts';
import type { FamilyTrust, Trust } from './trust.ts';

export const quayTrust: FamilyTrust = {
  forms: { commands },
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

function commands(trust: Trust): string {
  const { issuer, audience, subject, host, principals } = trust;
  const robots = principals.map(({ robot = '' }) => {
    const [organization = '', name = ''] = robot.split('+');
    const path = shellQuoted(
      `https://${host}/api/v1/organization/${encodeURIComponent(organization)}/robots/${encodeURIComponent(name)}`,
    );
    const permission = shellQuoted(`/permissions/user/${encodeURIComponent(robot)}`);
    const repository = `${shellQuoted(`https://${host}/api/v1/repository/${encodeURIComponent(organization)}/`)}"$REPOSITORY"`;
    return `
# Leave this away where the robot exists.
call --request PUT --json '{}' --output /dev/null ${path}
# The list takes the place of the one that is there: the same call without --json shows it.
call --json ${shellJson([{ issuer, subject, audiences: [audience] }])} ${path}/federation
call --request PUT --json '{"role": "read"}' ${repository}${permission}
`;
  });
  return `${shellVariable('QUAY_TOKEN', 'OAuth token of an application that may administer the organization')}${shellVariable('REPOSITORY', 'repository that the account should pull, without the organization')}
${bearerCall('QUAY_TOKEN')}${robots.join('')}`;
}
