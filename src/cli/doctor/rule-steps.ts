// The first steps of doctor: config, rule and host, none of which needs a cluster.
import { partsOf } from '../../core/registry-family.ts';
import { isProblem, Problem } from '../../problem.ts';
import { loadConfig } from '../../config.ts';
import { hostMatches, ruleForHost, servesHost, type RegistryRule } from '../../core/registry-rule.ts';
import { nearestName } from '../../core/nearest-name.ts';
import { failed, known, ok, type Check, type Facts, type Finding } from './step.ts';

export const ruleSteps: readonly Check[] = [
  { step: 'config', needs: [], isOffline: true, run: checkConfigFile },
  { step: 'rule', needs: ['config'], isOffline: true, run: checkRule },
  { step: 'host', needs: ['rule'], isOffline: true, run: checkHost },
];

function checkConfigFile(facts: Facts): Finding {
  const path = facts.question.config;
  try {
    facts.config = loadConfig(path);
  } catch (error) {
    if (!isProblem(error, 'config-invalid', 'file-unreadable')) throw error;
    const { faults = [] } = error.details;
    const found = [`${error.message} (${error.code})`, ...faults].join('; ');
    return failed(found, 'correct the config; `keyless-pull check-config` lists one fault per line');
  }
  const count = facts.config.rules.length;
  return ok(`${path} is a config with ${count === 1 ? 'one rule' : `${count} rules`}`);
}

function checkRule(facts: Facts): Finding {
  const { rules } = known(facts, 'config');
  const wanted = facts.question.rule;
  const rule = rules.find(({ name }) => name === wanted);
  if (!rule) {
    const names = rules.map(({ name }) => name);
    const nearest = nearestName(wanted, names);
    return failed(
      `the config has no rule ${JSON.stringify(wanted)}`,
      nearest === undefined
        ? `pass --rule with one of ${names.join(', ')}`
        : `did you mean --rule ${nearest}?`,
    );
  }
  facts.rule = rule;
  return ok(`${rule.name}, exchange ${rule.exchange.kind}`);
}

function checkHost(facts: Facts): Finding {
  const rule = known(facts, 'rule');
  const host = facts.question.host ?? facts.question.image?.host ?? onlyHostOf(rule);
  if (servesHost(rule, host)) {
    facts.host = host;
    return ok(`${host} is served by rule ${rule.name}`);
  }
  if (!rule.hosts.some((pattern) => hostMatches(pattern, host))) {
    const other = ruleForHost(known(facts, 'config').rules, host, () => true);
    return failed(
      `rule ${rule.name} serves ${rule.hosts.join(', ')}, and not ${host}`,
      other ? `rule ${other.name} serves it: pass --rule ${other.name}` : `add ${host} to hosts of a rule`,
    );
  }
  const parts = partsOf(rule, host);
  if (!parts) return failed(`${host} is no host of ${rule.exchange.kind}`, 'check the spelling of --host');
  const { registry = 'none' } = parts;
  return failed(
    `${host} belongs to ${registry}, which is not among the registries of rule ${rule.name}: ${rule.registries?.join(', ')}`,
    `add ${JSON.stringify(registry)} to registries of rule ${rule.name}, if it is yours`,
  );
}

function onlyHostOf(rule: RegistryRule): string {
  const [host, ...more] = rule.hosts;
  if (host !== undefined && more.length === 0 && !host.includes('*')) return host;
  throw new Problem('usage', `pass --host or --image: rule ${rule.name} serves ${rule.hosts.join(', ')}`);
}
