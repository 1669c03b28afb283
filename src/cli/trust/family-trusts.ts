// The table of what each registry family needs at the other side, by the kind of the exchange.
import type { families } from '../../registry/families.ts';
import { alibabaTrust } from './alibaba.ts';
import { ecrPublicTrust, ecrTrust } from './aws.ts';
import { acrTrust } from './azure.ts';
import { chainguardTrust } from './chainguard.ts';
import { cloudsmithTrust } from './cloudsmith.ts';
import { googleTrust } from './google.ts';
import { jfrogTrust } from './jfrog.ts';
import { quayTrust } from './quay.ts';
import { tokenExchangeTrust } from './token-exchange.ts';
import { tokenServerTrust } from './token-server.ts';
import type { FamilyTrust } from './trust.ts';

export const familyTrusts: Readonly<Record<keyof typeof families, FamilyTrust>> = {
  'pass-through': tokenServerTrust,
  'token-realm': tokenServerTrust,
  ecr: ecrTrust,
  'ecr-public': ecrPublicTrust,
  google: googleTrust,
  acr: acrTrust,
  'token-exchange': tokenExchangeTrust,
  quay: quayTrust,
  jfrog: jfrogTrust,
  cloudsmith: cloudsmithTrust,
  chainguard: chainguardTrust,
  alibaba: alibabaTrust,
};
