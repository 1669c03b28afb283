// The policy: a pod that brings a static pull secret is refused where the namespace enforces that, and told what to do.
import { DEVELOPER, OTHER_TEAM, TEAM } from '../manifests.ts';
import type { Step } from '../stage.ts';

export const staticSecret: Step = {
  title: '8  A static pull secret',
  sentence: `The old habit, in the namespace that enforces: ${TEAM}. The message says what to do instead.`,
  concerns: ['keyless-pull'],
  async run({ screen, shell }) {
    const refused = await screen.check('refused, with exit code 1', () =>
      shell.kubectl(['apply', '-f', 'old-habit.yaml', '-n', TEAM, '--as', DEVELOPER], { code: 1 }),
    );
    screen.expect(
      'by our webhook, which names the Secret, the line to remove, and what the pod gets without it',
      ['enforce.keyless-pull.dev', '"regcred"', 'remove that line', 'its own credential'].every((part) =>
        refused.stderr.includes(part),
      ),
      refused.stderr,
    );
    await screen.check(`let pass in ${OTHER_TEAM}, which has not asked for it`, () =>
      shell.kubectl([
        'apply',
        '-f',
        'old-habit.yaml',
        '-n',
        OTHER_TEAM,
        '--as',
        DEVELOPER,
        '--dry-run=server',
      ]),
    );
  },
};
