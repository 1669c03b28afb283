// The API server's own rules for a webhook's answer: those of keyless-pull test.
export { acceptReview, type AcceptedReview } from '../../src/cli/cases/answer-acceptance.ts';
