// One entry of `issuers` in the config: whose ServiceAccount tokens are accepted, and how its keys are fetched.
import * as z from 'zod';

export const FilePath = z.string().min(1, 'name a file');

/** Kept as the text that was written: issuers are compared byte for byte. */
export const HttpsUrl = z
  .string()
  .regex(
    /^https:\/\/[^\s/?#@\\]+(?:\/[^\s?#\\]*)?$/,
    'write an https URL without user, query and fragment, exactly as the cluster writes it',
  )
  .refine((text) => URL.canParse(text), 'this is no URL');

export const TrustedIssuer = z.strictObject({
  issuer: HttpsUrl.meta({
    description: "the cluster's issuer, byte for byte as in the iss claim of its tokens",
  }),
  audience: z
    .string()
    .min(1, 'an empty audience would accept tokens meant for anybody')
    .max(512)
    .regex(/^[^\s,]+$/, 'an audience has no spaces and no commas')
    .meta({ description: 'audience that a token must name to be accepted here' }),
  check: z.enum(['keys', 'tokenReview']).default('keys').meta({
    description: "how tokens are checked: with the issuer's published keys, or by asking its API server",
  }),
  discoveryUrl: HttpsUrl.optional().meta({
    description: "where the discovery document is read when the issuer's own name leads nowhere from here",
  }),
  keysHosts: z
    .array(z.string().regex(/^[a-z0-9.[\]:-]+$/, 'write host or host:port, in lower case'))
    .default([])
    .meta({
      description:
        "hosts besides the issuer's and the discoveryUrl's that jwks_uri may name, with the port unless it is 443",
    }),
  certificateAuthorityFile: FilePath.optional().meta({
    description:
      "PEM bundle that the issuer's certificate is verified with, instead of the system's; read at every fetch",
  }),
  bearerFile: FilePath.optional().meta({
    description: 'token shown to issuers that refuse anonymous discovery; read at every fetch',
  }),
});
export type TrustedIssuer = z.output<typeof TrustedIssuer>;
