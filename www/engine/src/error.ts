import type { ErrorCode } from "./protocol.ts";

/** A call's failure, with its code. */
export class CallError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
