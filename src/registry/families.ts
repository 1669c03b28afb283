// The table of registry families, by the name that a rule gives as `exchange.kind`, in the order of the documentation.
import { acr } from './acr.ts';
import { alibaba } from './alibaba.ts';
import { chainguard } from './chainguard.ts';
import { cloudsmith } from './cloudsmith.ts';
import { ecr, ecrPublic } from './ecr.ts';
import { google } from './google.ts';
import { jfrog } from './jfrog.ts';
import { passThrough } from './pass-through.ts';
import { quay } from './quay.ts';
import { tokenExchange } from './token-exchange.ts';
import { tokenRealm } from './token-realm.ts';
import type { RegistryFamily } from './registry-family.ts';

export const families = {
  'pass-through': passThrough,
  'token-realm': tokenRealm,
  ecr,
  'ecr-public': ecrPublic,
  google,
  acr,
  'token-exchange': tokenExchange,
  quay,
  jfrog,
  cloudsmith,
  chainguard,
  alibaba,
} as const satisfies Record<string, RegistryFamily>;
