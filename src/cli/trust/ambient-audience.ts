// Audiences that a cloud takes by default, and so every workload's token for that cloud: why a rule had better have its own.

const ambient: readonly (readonly [RegExp, string])[] = [
  [/^sts\.amazonaws\.com(?:\.cn)?$/, 'AWS'],
  [/^api:\/\/AzureADTokenExchange(?:USGov|China)?$/, 'Azure'],
  [/^(?:https:)?\/\/iam\.googleapis\.com\//, 'Google Cloud'],
  [/\.svc\.id\.goog$/, 'Google Cloud'],
  [/^sts\.aliyuncs\.com$/, 'Alibaba Cloud'],
];

/** A sentence where the audience is ambient; undefined: it is a dedicated one. */
export function whyDedicated(audience: string): string | undefined {
  const cloud = ambient.find(([pattern]) => pattern.test(audience))?.[1];
  return (
    cloud &&
    `${audience} is what workloads use for ${cloud} anyway: any token that the account's pods have for ${cloud} would be accepted here too; an audience of the rule's own, such as keyless-pull.team.example, keeps the two apart`
  );
}
