/** What went wrong or well, where one looks: it goes by itself, but not while somebody reads it. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice } from "../state.ts";
import { strings } from "../strings.ts";

/** Long enough to read it twice. */
const LEAST_MS = 8_000;
const MS_A_LETTER = 120;

export function Toast() {
  const said = notice.value;
  const isHeld = useSignal(false);
  const hold = (on: boolean) => () => {
    isHeld.value = on;
  };
  useEffect(() => {
    if (!said || isHeld.value) return;
    const timer = setTimeout(() => {
      if (notice.value === said) notice.value = undefined;
    }, Math.max(LEAST_MS, said.text.length * MS_A_LETTER));
    return () => clearTimeout(timer);
  }, [said, isHeld.value]);
  return (
    <div
      class={said ? (said.isFault ? "toast fault" : "toast notice") : "toast"}
      onPointerEnter={hold(true)}
      onPointerLeave={hold(false)}
      onFocusCapture={hold(true)}
      onBlurCapture={hold(false)}
    >
      {/* Always there, so that a screen reader hears what comes into it. */}
      <p id="notice" role="status" class={said?.isFault ? "fault" : ""}>
        {said?.text}
      </p>
      {said?.undo && (
        <button
          type="button"
          class="small"
          onClick={() => {
            said.undo?.();
            notice.value = undefined;
          }}
        >
          {strings.undo}
        </button>
      )}
      {said && (
        <button
          type="button"
          class="close"
          aria-label={strings.close}
          onClick={() => {
            isHeld.value = false;
            notice.value = undefined;
          }}
        />
      )}
    </div>
  );
}
