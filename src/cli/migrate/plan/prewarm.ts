// The step that readies accounts before their namespace opts in: what they must say, and the trust tried with doctor.
import { PREWARM_ANNOTATION } from '../../../core/vocabulary.ts';
import { viewAccount, type AccountView } from '../../../core/pod-view.ts';
import { prewarmedNeeds } from '../../../core/prewarm.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from '../../../core/registry-rule.ts';
import { shellWord } from '../../trust/quoting.ts';
import { parametersMissing } from '../advice.ts';
import { kubectlIn, type PlanStep } from './plan-step.ts';
import type { NamespaceFacts } from './namespace-steps.ts';

/** Undefined where no account has anything left to do and all has been tried by the pods that run. */
export function prewarmStep(facts: NamespaceFacts): PlanStep | undefined {
  const commands: string[] = [];
  const back: string[] = [];
  const proofs = new Set<string>();
  const cold = new Set<string>();
  for (const [account, hosts] of accountsOf(facts)) {
    const additions = additionsFor(facts, account, hosts);
    if (additions.size === 0) continue;
    const where = `${kubectlIn(facts.name)} annotate serviceaccount ${shellWord(account.name)}`;
    const words = [...additions].map(([key, value]) => shellWord(`${key}=${value}`));
    commands.push(`${where} ${words.join(' ')} --overwrite`);
    back.push(`${where} ${[...additions.keys()].map((key) => `${key}-`).join(' ')}`);
    for (const host of hosts) {
      const rule = ruleOf(facts, account, host);
      if (rule && !rule.prewarm) cold.add(rule.name);
      if (rule)
        proofs.add(
          `keyless-pull doctor --config ${shellWord(facts.configFile)} --rule ${rule.name} --account ${shellWord(`${facts.name}/${account.name}`)} --host ${shellWord(host)}`,
        );
    }
  }
  if (commands.length === 0) return undefined;
  return {
    step: 'prewarm',
    namespace: facts.name,
    does:
      'Accounts say whom they become at a registry, and ask for their credentials before any pod does (rules with ' +
      'prewarm: true). Replace what stands in <angle brackets>.' +
      (cold.size > 0 ? ` Not prewarmed, so made for the first pod: rule ${[...cold].join(', ')}.` : ''),
    commands,
    proof: { text: 'doctor finds nothing: the registry trusts each account.', commands: [...proofs] },
    back,
  };
}

function accountsOf({ pods }: NamespaceFacts): Map<AccountView, Set<string>> {
  const accounts = new Map<AccountView, Set<string>>();
  for (const { account, hosts } of pods) {
    const known = accounts.get(account) ?? new Set();
    for (const host of hosts.keys()) known.add(host);
    accounts.set(account, known);
  }
  return accounts;
}

/** Annotations that the account does not have yet. */
function additionsFor(
  facts: NamespaceFacts,
  account: AccountView,
  hosts: ReadonlySet<string>,
): Map<string, string> {
  const { world, name } = facts;
  const additions = new Map<string, string>();
  const present = viewAccount(world.find('ServiceAccount', name, account.name)?.object).annotations;
  for (const [key, value] of Object.entries(world.settings.wishes.get(`${name}/${account.name}`) ?? {}))
    if (present[key] !== value) additions.set(key, value);
  const asked = { hosts: new Map([...hosts].map((host) => [host, undefined])), account };
  for (const { parameter } of parametersMissing(world, asked))
    additions.set(`keyless-pull.dev/${parameter}`, `<${parameter}>`);
  const rules = [...hosts].flatMap((host) => ruleOf(facts, account, host) ?? []);
  const asksAlready = rules.every((rule) => !rule.prewarm || prewarmedNeeds(rule, account).length > 0);
  if (!asksAlready && present[PREWARM_ANNOTATION] !== 'true') additions.set(PREWARM_ANNOTATION, 'true');
  return additions;
}

function ruleOf(
  { world, name }: NamespaceFacts,
  account: AccountView,
  host: string,
): RegistryRule | undefined {
  const labels = world.labels(name);
  const speaksOf = (rule: RegistryRule) => ruleSpeaksOf(rule, account.name, labels);
  return ruleForHost(world.settings.config.rules, host, speaksOf);
}
