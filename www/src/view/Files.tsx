/** A button that opens files, or all files of a folder. */
export function FileButton(props: {
  id: string;
  label: string;
  accept?: string;
  disabled?: boolean;
  multiple?: boolean;
  folder?: boolean;
  onFiles: (files: File[]) => void;
}) {
  return (
    <label class="file">
      <input
        type="file"
        id={props.id}
        {...(props.accept && { accept: props.accept })}
        {...(props.folder && { webkitdirectory: true })}
        disabled={props.disabled ?? false}
        multiple={props.multiple ?? false}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          // So that choosing the same file again is a change again.
          currentTarget.value = "";
          if (files.length > 0) props.onFiles(files);
        }}
      />
      <span>{props.label}</span>
    </label>
  );
}
