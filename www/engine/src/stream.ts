/**
 * What is made one after the other, as the web's own stream. A reader that cancels it aborts `stop`; one that is slow holds
 * nothing up.
 */
export function streamOf<T>(items: AsyncGenerator<T>, stop: AbortController): ReadableStream<T> {
  const source: UnderlyingDefaultSource<T> = {
    async pull(controller) {
      const { done, value } = await items.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel(reason) {
      stop.abort(reason);
    },
  };
  return new ReadableStream(source, { highWaterMark: Number.POSITIVE_INFINITY });
}

/** A controller's signal, and whoever else's. */
export function either(stop: AbortController, signal: AbortSignal | undefined): AbortSignal {
  return signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
}
