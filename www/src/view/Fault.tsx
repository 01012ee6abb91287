import type { Fault as Value } from "../state.ts";

/** An error in words, with its code for tests and for who asks for help. */
export function Fault({ id, fault }: { id?: string; fault: Value | undefined }) {
  if (!fault) return null;
  return (
    <p id={id} class="fault" role="alert" data-code={fault.code}>
      {fault.message}
    </p>
  );
}
