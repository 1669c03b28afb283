// What an account's annotations say to us, judged when somebody writes them: ours must fit their grammar, and what no rule
// reads is told, with the name that was probably meant. Values are never repeated: one may be a secret in the wrong place.
import { acceptedFor, annotationsFor, faultOfValues, PROVISIONER, valuesOf } from './identity-parameters.ts';
import { nearestName } from './nearest-name.ts';
import { API_GROUP, DOCKER_CONFIG_ANNOTATION, MOUNT_ANNOTATION, PREWARM_ANNOTATION } from './vocabulary.ts';
import type { RegistryRule } from './registry-rule.ts';

type Annotations = Readonly<Record<string, string>>;

/** One line each. */
export interface AnnotationNotes {
  /** Of our own annotations: no rule can take the value. */
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

/** What says whose credential a pull gets and nothing else; the rest of those vocabularies is for other things too. */
const ABOUT_PULLS = [PROVISIONER, 'eks.amazonaws.com/ecr-', 'kubernetes.azure.com/acr-'];
/** The provisioner's that are no parameter, and read wherever one of its parameters is. */
const BESIDE = ['registry', 'audience', 'secret-name'].map((name) => `${PROVISIONER}${name}`);

/** More are shown to nobody, and a tenant's ten thousand unknown names would be compared with all that are known. */
const MOST_SUGGESTIONS = 16;

/** Of those annotations that are new or have another value than in `before`. */
export function annotationNotesOf(
  annotations: Annotations,
  before: Annotations,
  rules: readonly RegistryRule[],
): AnnotationNotes {
  const faults: string[] = [];
  const warnings: string[] = [];
  const nearest: Nearest = (name, known) =>
    warnings.length < MOST_SUGGESTIONS ? nearestName(name, known()) : undefined;
  for (const [annotation, value] of Object.entries(annotations)) {
    if (before[annotation] === value) continue;
    const [prefix = '', name = ''] = annotation.split('/');
    const isOurs = prefix === API_GROUP || prefix.endsWith(`.${API_GROUP}`);
    if (!isOurs) warnings.push(...foreignWarnings(annotation, value, rules, nearest));
    else if (annotation === MOUNT_ANNOTATION || annotation === DOCKER_CONFIG_ANNOTATION)
      warnings.push(`annotation ${annotation} is for pods: nobody reads it on an account`);
    else {
      const rule = prefix === API_GROUP ? undefined : prefix.slice(0, -API_GROUP.length - 1);
      const judged = judgeOurs({ annotation, name, value, rule, annotations }, rules, nearest);
      if (judged.fault !== undefined) faults.push(`annotation ${annotation}: ${judged.fault}`);
      if (judged.warning !== undefined) warnings.push(`annotation ${annotation}: ${judged.warning}`);
    }
  }
  return { faults, warnings };
}

type Nearest = (name: string, known: () => readonly string[]) => string | undefined;

interface Ours {
  readonly annotation: string;
  readonly name: string;
  readonly value: string;
  /** Undefined: it is for every rule. */
  readonly rule: string | undefined;
  readonly annotations: Annotations;
}

interface Judged {
  readonly fault?: string;
  readonly warning?: string;
}

function judgeOurs(
  { annotation, name, value, rule, annotations }: Ours,
  rules: readonly RegistryRule[],
  nearest: Nearest,
): Judged {
  const meant = rules.filter((each) => rule === undefined || each.name === rule);
  if (rule !== undefined && meant.length === 0) {
    const other = nearest(rule, () => rules.map((each) => each.name));
    return { warning: `there is no rule ${rule}${didYouMean(other && `${other}.${API_GROUP}/${name}`)}` };
  }
  if (name === PREWARM_ANNOTATION.slice(API_GROUP.length + 1)) {
    if (value !== 'true' && value !== 'false') return { fault: 'write "true" or "false"' };
    if (meant.some(({ prewarm }) => prewarm)) return {};
    return { warning: rule === undefined ? 'no rule prewarms' : `rule ${rule} does not prewarm` };
  }
  const takers = meant.filter((each) => isAccountsToSet(each, name));
  if (takers.length === 0) {
    const isKnown = meant.some((each) => each.parameters?.[name] !== undefined);
    const other = isKnown ? undefined : nearest(name, () => meant.flatMap(settableBy));
    const says = rule === undefined ? 'no rule lets' : `rule ${rule} does not let`;
    const hint = didYouMean(other && annotation.replace(/[^/]*$/, other));
    return { warning: `${says} accounts set ${name}${hint}` };
  }
  if (value.trim() === '') return {};
  // An annotation for one rule wins there, so what is for all does not concern that rule.
  const asked = takers.filter((each) => {
    const [own] = annotationsFor(each.name, name);
    return rule !== undefined || (annotations[own] ?? '').trim() === '';
  });
  const refusals = asked.flatMap((each) => {
    const fault = faultIn(each, name, value);
    return fault === undefined ? [] : [{ rule: each.name, fault }];
  });
  const [first] = refusals;
  if (!first) return {};
  return refusals.length === asked.length
    ? { fault: first.fault }
    : { warning: `rule ${first.rule} cannot take it: ${first.fault}` };
}

function foreignWarnings(
  annotation: string,
  value: string,
  rules: readonly RegistryRule[],
  nearest: Nearest,
): string[] {
  const readers = rules.flatMap((rule) =>
    settableBy(rule).flatMap((key) => (acceptedFor(rule, key).includes(annotation) ? [{ rule, key }] : [])),
  );
  const refused = readers.flatMap(({ rule, key }) => {
    const fault = value.trim() === '' ? undefined : faultIn(rule, key, value);
    return fault === undefined ? [] : [`annotation ${annotation}, which rule ${rule.name} reads: ${fault}`];
  });
  if (readers.length > 0) return refused;
  if (!ABOUT_PULLS.some((start) => annotation.startsWith(start))) return [];
  const accepted = rules.flatMap((rule) => settableBy(rule).flatMap((key) => acceptedFor(rule, key)));
  if (BESIDE.includes(annotation) && accepted.some((each) => each.startsWith(PROVISIONER))) return [];
  const beside = accepted.some((each) => each.startsWith(PROVISIONER)) ? BESIDE : [];
  const other = nearest(annotation, () => [...accepted, ...beside]);
  return [`no rule accepts the annotation ${annotation}${didYouMean(other)}`];
}

function settableBy(rule: RegistryRule): string[] {
  return Object.keys(rule.parameters ?? {}).filter((key) => isAccountsToSet(rule, key));
}

function isAccountsToSet({ parameters, family }: RegistryRule, key: string): boolean {
  const grammar = family.parameters[key];
  return parameters?.[key]?.from === 'annotation' && grammar !== undefined && !grammar.isRulesAlone;
}

function faultIn({ family }: RegistryRule, key: string, value: string): string | undefined {
  const grammar = family.parameters[key];
  return grammar && faultOfValues(key, valuesOf(value, grammar), grammar);
}

function didYouMean(name: string | undefined): string {
  return name ? `; did you mean ${name}?` : '';
}
