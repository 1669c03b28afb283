// One entry of `issuers` in the config: whose ServiceAccount tokens are accepted, and how they are checked.
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

/** The bearer is required: the pod's own must not be sent to a server that somebody merely named. */
const Reviewer = z.strictObject({
  server: HttpsUrl.meta({ description: 'the API server, as in a kubeconfig' }),
  certificateAuthorityFile: FilePath.optional().meta({
    description:
      "PEM bundle that the API server's certificate is verified with, instead of the system's; read at every call",
  }),
  bearerFile: FilePath.meta({
    description: 'token of an account that may create tokenreviews there; read at every call',
  }),
});
export type Reviewer = z.output<typeof Reviewer>;

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
  tokenReview: Reviewer.optional().meta({
    description:
      'which API server is asked with check: tokenReview; absent: that of the cluster this runs in, as the pod itself',
  }),
});
export type TrustedIssuer = z.output<typeof TrustedIssuer>;

/** What clusters commonly call their own API server, besides the issuer itself. */
const IN_CLUSTER_AUDIENCES = [
  'https://kubernetes.default.svc',
  'https://kubernetes.default.svc.cluster.local',
];

/** Undefined when nothing is wrong with the audience. */
export function audienceFault(issuer: unknown, audience: unknown): string | undefined {
  if (typeof audience !== 'string') return undefined;
  if (audience !== issuer && !IN_CLUSTER_AUDIENCES.includes(audience)) return undefined;
  return "this is the API server's own audience: such a password would open the cluster, choose one for the registry";
}
