// What the core must know of a registry family to plan: which hosts are its, and what an exchange there has to be told.
// The calls themselves are in src/registry; nothing here makes one.

/** One thing that an exchange has to be told, and what it may look like. */
export interface ParameterGrammar {
  /** For the reference. */
  readonly means: string;
  /** Of the whole value, anchored at both ends; what passes may stand in a form field, and encoded in a path. */
  readonly pattern: RegExp;
  /** How a value looks, for the sentence that refuses another. */
  readonly looksLike: string;
  readonly isRequired?: boolean;
  /** Whom the account becomes: an annotation may list several with commas, one need each. */
  readonly isPrincipal?: boolean;
  /** Changes where the token goes, or how long an answer is believed: nothing that an account may say of itself. */
  readonly isRulesAlone?: boolean;
  /** Annotations of other tools that mean the same; read only where a rule accepts them. */
  readonly foreign?: readonly string[];
}

/** Named parts of a registry host. */
export type HostParts = Readonly<Record<string, string>>;

export interface FamilyHosts {
  /** What `hosts` of a rule may say: these patterns, or their special cases. */
  readonly patterns: readonly string[];
  /** The parts of a host that is this family's in every label. */
  partsOf(host: string): HostParts | undefined;
  /** What the part `registry` is, which a rule's `registries` lists; absent: hosts of this family name no owner. */
  readonly registries?: string;
  /** Of one entry of that list. */
  readonly registryPattern?: RegExp;
}

export interface FamilyFacts {
  /** Absent: whatever host the administrator names, whole. */
  readonly hosts?: FamilyHosts;
  readonly parameters: Readonly<Record<string, ParameterGrammar>>;
  /** The services that are called, by the names that `exchange.endpoints` may use; who is handed the token is the first. */
  readonly endpoints: readonly string[];
  /** The family has no public service: the rule must say where it is. */
  readonly needsEndpoint?: boolean;
  /**
   * Who is handed the ServiceAccount token. Rules of one receiver may share an audience; `host` is the registry itself,
   * which could replay the token wherever else it is good.
   */
  readonly receiver: string;
  /** Life of the ServiceAccount token that is asked for, 600 to 3600: long only where the credential cannot outlive it. */
  readonly tokenSeconds: number;
  /** The ServiceAccount token itself is the password, and dies with the key that signed it; else what was exchanged lives on. */
  readonly keepsToken?: boolean;
  /** One answer is good for all hosts of one scope; absent: for one host. */
  scopeOf?(parts: HostParts): string;
  /** What is wrong with these parameters for this host, as the end of a sentence. */
  faultOf?(parameters: Readonly<Record<string, string>>, parts: HostParts): string | undefined;
}

/** The named parts of a host under a rule's family; undefined: that family has no such host. */
export function partsOf({ family }: { readonly family: FamilyFacts }, host: string): HostParts | undefined {
  return family.hosts ? family.hosts.partsOf(host) : {};
}

/** The parts of a host by an expression that is anchored at both ends. */
export function partsBy(grammar: RegExp): FamilyHosts['partsOf'] {
  return (host) => {
    const match = grammar.exec(host);
    if (!match) return undefined;
    return Object.fromEntries(Object.entries(match.groups ?? {}).filter(([, part]) => part !== undefined));
  };
}

/** `*` stands for one label on either side: true if the family serves every host that the rule's pattern can name. */
export function isCovered(pattern: string, { patterns }: FamilyHosts): boolean {
  const labels = pattern.split('.');
  return patterns.some((known) => {
    const wanted = known.split('.');
    return (
      wanted.length === labels.length && wanted.every((label, at) => label === '*' || label === labels[at])
    );
  });
}
