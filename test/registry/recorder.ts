// An HttpCall that sends nothing: it writes down what would go where, and answers what the test says.
import type { HttpCall, HttpRequest } from '../../src/registry/http-call.ts';

export interface Recorder {
  readonly http: HttpCall;
  readonly requests: HttpRequest[];
}

/** A string is an answer as it is; anything else is JSON. */
export function createRecorder(
  answer: (request: HttpRequest) => { status?: number; headers?: Record<string, string>; body?: unknown },
): Recorder {
  const requests: HttpRequest[] = [];
  return {
    requests,
    http: async (request) => {
      requests.push(request);
      const { status = 200, headers = {}, body = {} } = answer(request);
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      return { status, text, header: (name) => headers[name] };
    },
  };
}
